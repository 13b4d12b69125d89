"""`sagactl demo`."""

import os
from pathlib import Path

import click

from sagactl.cli import options
from sagactl.local.demo import demo as walk_all
from sagactl.local.dev_tokens import tools_token
from sagactl.local.runfile import read_suite

_DEFAULT_GATEWAY = "http://127.0.0.1:8080"


@click.command()
@click.option("--gateway", metavar="URL", help="Else that of the local suite.")
@options.run_dir
def demo(gateway: str | None, run_dir: Path) -> None:
    """Scenario some carts to the end of their orders, showing every request and answer."""
    suite = read_suite(run_dir)
    token = tools_token(run_dir, os.environ)
    walk_all(gateway or (suite.gateway if suite else _DEFAULT_GATEWAY), click.echo, token)
    click.secho("All scenarios ended as expected.", fg="green")
