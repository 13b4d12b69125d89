"""The option that names the stock service, and its address."""

import os
from collections.abc import Mapping
from pathlib import Path

import click

from sagakit.ctl.cli.options import announce, is_given, local_suite
from sagakit.ctl.errors import CommandError
from sagakit.ctl.local.runfile import read_suite

stock_address_option = click.option(
    "--stock-address",
    help="host:port of the stock service; default: that of the local suite, else STOCK_ADDRESS.",
)


def stock_of(address: str | None, run_dir: Path, environ: Mapping[str, str] = os.environ) -> str:
    """Return "host:port" of the stock service, and print whose it is.

    It is the given one, else that of the suite that runs in `run_dir`, else the first of STOCK_ADDRESS unless
    --run-dir is given. Raises CommandError if there is none.
    """
    if address is None and read_suite(run_dir) is not None:
        return local_suite(run_dir).addresses["stock"][0]
    address = address or ("" if is_given("run_dir") else environ.get("STOCK_ADDRESS", ""))
    if not address:
        raise CommandError(f"no suite runs in {run_dir}: start one, or give --stock-address")
    announce(f"stock at {address}")
    return address.split(",")[0].strip()
