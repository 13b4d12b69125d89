"""Options that several commands share, and the suite that they choose."""

import os
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from sagakit.ctl.errors import CommandError
from sagakit.ctl.inspect.target import choose, describe_local
from sagakit.ctl.load import NO_PROJECT
from sagakit.ctl.local.runfile import RUN_DIR, Suite, require_suite
from sagakit.ctl.project import Project
from sagakit.ctl.text import echo

run_dir = click.option(
    "--run-dir",
    type=click.Path(path_type=Path),
    default=RUN_DIR,
    envvar="RUN_DIR",
    show_default=True,
    help="Directory with the data, logs and run file of a local suite.",
)


Option = Callable[[Any], Any]
"""Adds an option to a command, as `click.option` returns it."""


def wait(help: str) -> Option:
    """Return the option --wait: seconds for which the command retries, 0 unless it is given."""
    return click.option("--wait", type=click.FloatRange(0), default=0, metavar="SECONDS", help=help)


def rate(default: float, help: str) -> Option:
    """Return the option --rate: what the command writes or publishes per second, at most."""
    above_zero = click.FloatRange(0, min_open=True)
    return click.option("--rate", type=above_zero, default=default, show_default=True, help=help)


def project() -> Project:
    """Return the project that the command acts on. Raises CommandError if there is none."""
    found = click.get_current_context().find_object(Project)
    if found is None:
        raise CommandError(NO_PROJECT)
    return found


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
    if is_given("run_dir"):
        require_suite(run_dir)
    announce(choose(run_dir, os.environ))


def local_suite(run_dir: Path) -> Suite:
    """Return the suite that runs in `run_dir`, and print which it is. Raises CommandError if none does."""
    found = require_suite(run_dir)
    announce(describe_local(found, run_dir))
    return found


def announce(name: object) -> None:
    """Print the suite that the command acts on, on standard error: standard output is the result's."""
    echo(f"suite: {name}", err=True)


def is_given(option: str) -> bool:
    """Return whether the option is on the command line."""
    return click.get_current_context().get_parameter_source(option) is ParameterSource.COMMANDLINE
