"""Options that several commands share, and the suite that they choose."""

import os
from collections.abc import Callable, Mapping
from functools import wraps
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from sagactl.errors import CommandError
from sagactl.inspect.target import choose, describe_local
from sagactl.local.runfile import RUN_DIR, Suite, read_suite, require_suite
from sagactl.text import echo

run_dir = click.option(
    "--run-dir",
    type=click.Path(path_type=Path),
    default=RUN_DIR,
    envvar="RUN_DIR",
    show_default=True,
    help="Directory with the data, logs and run file of a local suite.",
)

stock_address = click.option(
    "--stock-address",
    help="host:port of the stock service; default: that of the local suite, else STOCK_ADDRESS.",
)


def suite(command: Callable[..., None]) -> Callable[..., None]:
    """Add --run-dir to a command that acts on a suite's backend; print which suite that is.

    It is the one that runs in the run directory; else, unless the option names a directory, the one that the
    environment names (BACKEND, GOOGLE_CLOUD_PROJECT).
    """

    @run_dir
    @wraps(command)
    def announced(*args: Any, run_dir: Path, **values: Any) -> None:
        act_on_suite(run_dir)
        command(*args, run_dir=run_dir, **values)

    return announced


def act_on_suite(run_dir: Path) -> None:
    """Print which suite a command with the option `run_dir` acts on. Raises CommandError if there is none."""
    if _is_given("run_dir"):
        require_suite(run_dir)
    announce(choose(run_dir, os.environ))


def local_suite(run_dir: Path) -> Suite:
    """Return the suite that runs in `run_dir`, and print which it is. Raises CommandError if none does."""
    found = require_suite(run_dir)
    announce(describe_local(found, run_dir))
    return found


def stock_of(address: str | None, run_dir: Path, environ: Mapping[str, str] = os.environ) -> str:
    """Return "host:port" of the stock service, and print whose it is.

    It is the given one, else that of the suite that runs in `run_dir`, else the first of STOCK_ADDRESS unless
    --run-dir is given. Raises CommandError if there is none.
    """
    if address is None and read_suite(run_dir) is not None:
        return local_suite(run_dir).addresses["stock"][0]
    address = address or ("" if _is_given("run_dir") else environ.get("STOCK_ADDRESS", ""))
    if not address:
        raise CommandError(f"no suite runs in {run_dir}: start one, or give --stock-address")
    announce(f"stock at {address}")
    return address.split(",")[0].strip()


def announce(name: object) -> None:
    """Print the suite that the command acts on, on standard error: standard output is the result's."""
    echo(f"suite: {name}", err=True)


def _is_given(option: str) -> bool:
    return click.get_current_context().get_parameter_source(option) is ParameterSource.COMMANDLINE
