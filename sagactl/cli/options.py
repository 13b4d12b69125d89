"""Options that several commands share."""

from pathlib import Path

import click

from sagactl.local.runfile import RUN_DIR

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
    envvar="STOCK_ADDRESS",
    help="host:port of the stock service; default: that of the local suite.",
)
