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
    help="Where a local suite keeps its data, its logs and what others have to know of it.",
)

stock_address = click.option(
    "--stock-address",
    envvar="STOCK_ADDRESS",
    help="host:port of the stock service; else that of the local suite.",
)
