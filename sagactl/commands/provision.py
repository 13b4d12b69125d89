"""`sagactl provision`."""

import asyncio
import os

import click

from sagactl.provision import keep_provisioned, provision_waiting
from sagactl.signals import StopSignals


@click.command()
@click.option(
    "--wait",
    type=click.FloatRange(0),
    default=0,
    metavar="SECONDS",
    help="Try again for so long, where the backend is away.",
)
@click.option(
    "--every",
    type=click.FloatRange(min=0, min_open=True),
    metavar="SECONDS",
    help="Again and again until told to stop, for an emulator that forgets everything when it restarts.",
)
def provision(wait: float, every: float | None) -> None:
    """Make the topics and subscriptions of the backend that the environment names; safe to repeat."""
    if every is not None:
        asyncio.run(_until_stopped(every))
        return
    for line in asyncio.run(provision_waiting(os.environ, wait)):
        click.echo(line)


async def _until_stopped(every_seconds: float) -> None:
    signals = StopSignals()
    # In a container this is process 1, which no signal ends that it does not handle.
    signals.install()
    keeping = asyncio.create_task(keep_provisioned(os.environ, every_seconds, click.echo))
    asked = asyncio.create_task(signals.asked.wait())
    await asyncio.wait([keeping, asked], return_when=asyncio.FIRST_COMPLETED)
    asked.cancel()
    if keeping.done():
        await keeping
    keeping.cancel()
