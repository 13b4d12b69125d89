"""`sagactl token`."""

from pathlib import Path

import click

from sagactl.cli import options
from sagactl.local.dev_tokens import mint


@click.command()
@click.argument("sub")
@click.option("--operator", is_flag=True, help="With the scope for operators.")
@click.option("--minutes", type=click.IntRange(1), default=60, show_default=True, help="How long it is good.")
@options.run_dir
def token(sub: str, operator: bool, minutes: int, run_dir: Path) -> None:
    """Print a bearer token for SUB, for a local suite that was started with --sign-in."""
    click.echo(mint(run_dir, sub, operator=operator, seconds=minutes * 60))
