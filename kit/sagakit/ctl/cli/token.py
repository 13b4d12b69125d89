"""`sagactl token`: print a development token."""

from pathlib import Path

import click

from sagakit.ctl.cli import options
from sagakit.ctl.local.dev_tokens import mint
from sagakit.ctl.local.runfile import read_suite
from sagakit.ctl.text import echo


@click.command()
@click.argument("sub")
@click.option("--operator", is_flag=True, help="Add the operator scope.")
@click.option(
    "--minutes", type=click.IntRange(1), default=60, show_default=True, help="Lifetime of the token."
)
@options.run_dir
def token(sub: str, operator: bool, minutes: int, run_dir: Path) -> None:
    """Print a bearer token for SUB, for a local suite started with --auth."""
    suite = read_suite(run_dir)
    if suite is not None and not suite.auth:
        echo(f"the suite in {run_dir} asks for no token: it was started without --auth", err=True)
    scope = options.project().application.operator_scope if operator else ""
    echo(mint(run_dir, sub, scope=scope, seconds=minutes * 60))
