"""`sagactl provision`."""

import asyncio
import os
from collections.abc import Coroutine
from typing import Any

import click

from sagactl.local.provision import keep_provisioned, provision_waiting
from sagactl.local.signals import StopSignals


@click.command()
@click.option(
    "--wait",
    type=click.FloatRange(0),
    default=0,
    metavar="SECONDS",
    help="Retry for up to this many seconds while the backend is unavailable.",
)
@click.option(
    "--interval",
    type=click.FloatRange(min=0, min_open=True),
    metavar="SECONDS",
    help="Repeat every N seconds until stopped; for emulators, which lose topics on restart.",
)
@click.option("--check-store", is_flag=True, help="With --wait: also wait until the store responds.")
def provision(wait: float, interval: float | None, check_store: bool) -> None:
    """Create the topics and subscriptions of the backend named by the environment. Safe to repeat."""
    if interval is not None:
        asyncio.run(_until_stopped(keep_provisioned(os.environ, interval, click.echo)))
        return
    lines = asyncio.run(_until_stopped(provision_waiting(os.environ, wait, check_store=check_store)))
    if lines is None:
        raise click.ClickException("stopped before provisioning was complete")
    for line in lines:
        click.echo(line)


async def _until_stopped(work: Coroutine[Any, Any, list[str] | None]) -> list[str] | None:
    """What `work` returns; None where it was asked to stop first.

    In a container this is process 1, which no signal ends that it does not handle.
    """
    signals = StopSignals()
    signals.install()
    tasks = asyncio.create_task(work), asyncio.create_task(signals.requested.wait())
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        if not task.done():
            task.cancel()
    return tasks[0].result() if tasks[0].done() else None
