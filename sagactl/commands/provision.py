"""`sagactl provision`."""

import asyncio
import os

import click

from sagactl.provision import provision as ensure_all


@click.command()
def provision() -> None:
    """Make the topics and subscriptions of the backend that the environment names; safe to repeat."""
    for line in asyncio.run(ensure_all(os.environ)):
        click.echo(line)
