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
    help="Try again for so long, where the backend is away.",
)
@click.option(
    "--every",
    type=click.FloatRange(min=0, min_open=True),
    metavar="SECONDS",
    help="Again and again until told to stop, for an emulator that forgets everything when it restarts.",
)
@click.option("--store", is_flag=True, help="With --wait: until the store answers, too.")
def provision(wait: float, every: float | None, store: bool) -> None:
    """Make the topics and subscriptions of the backend that the environment names; safe to repeat."""
    if every is not None:
        asyncio.run(_until_stopped(keep_provisioned(os.environ, every, click.echo)))
        return
    lines = asyncio.run(_until_stopped(provision_waiting(os.environ, wait, store=store)))
    if lines is None:
        raise click.ClickException("stopped before everything was there")
    for line in lines:
        click.echo(line)


async def _until_stopped(work: Coroutine[Any, Any, list[str] | None]) -> list[str] | None:
    """What `work` returns; None where it was asked to stop first.

    In a container this is process 1, which no signal ends that it does not handle.
    """
    signals = StopSignals()
    signals.install()
    tasks = asyncio.create_task(work), asyncio.create_task(signals.asked.wait())
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        if not task.done():
            task.cancel()
    return tasks[0].result() if tasks[0].done() else None
