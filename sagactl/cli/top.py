"""`sagactl watch`."""

import asyncio
import json
import logging
import os
import sys
from contextlib import suppress
from pathlib import Path

import click
import structlog
from rich.console import Console
from rich.live import Live

from sagactl.cli import options
from sagactl.dashboard.dashboard import Sources, Watching
from sagactl.dashboard.keyboard import quitting
from sagactl.dashboard.screen import screen
from sagactl.inspect.connect import open_sources
from sagactl.local.signals import StopSignals
from sagakit.concurrency import first_completed
from sagakit.runtime import Runtime

REFRESH_SECONDS = 0.25
INITIAL_LISTEN_SECONDS = 30.0
PLAIN_WIDTH, PLAIN_HEIGHT = 100, 40


@click.command()
@click.option(
    "--once", is_flag=True, help="Print how it stands, as text, and end; so it is without a terminal."
)
@click.option("--json", "as_json", is_flag=True, help="The same as JSON.")
@click.option(
    "--listen",
    type=click.FloatRange(0, 3600),
    default=3,
    show_default=True,
    metavar="SECONDS",
    help="With --once or --json: for how long to listen first.",
)
@options.run_dir
def watch(once: bool, as_json: bool, listen: float, run_dir: Path) -> None:
    """Watch orders as they go, with rates, times and what waits, until q or Ctrl-C."""
    # What gRPC's core prints by itself would be in the middle of the screen.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    logging.getLogger().addHandler(logging.NullHandler())
    if once or as_json or not sys.stdout.isatty():
        asyncio.run(_once(run_dir, listen, as_json=as_json))
    else:
        asyncio.run(_live(run_dir))


async def _live(run_dir: Path) -> None:
    stop = StopSignals()
    stop.install()
    console = Console()
    async with open_sources(run_dir) as sources:
        watching = _watching(sources)
        with quitting(stop.asked.set), Live(console=console, screen=True, auto_refresh=False) as live:
            async with watching.going_on():
                while not stop.asked.is_set():
                    live.update(screen(watching.state(), console.width, console.height), refresh=True)
                    with suppress(TimeoutError):
                        await asyncio.wait_for(stop.asked.wait(), REFRESH_SECONDS)


async def _once(run_dir: Path, listen: float, *, as_json: bool) -> None:
    stop = StopSignals()
    stop.install()
    async with open_sources(run_dir) as sources:
        watching = _watching(sources)
        async with watching.going_on():
            for patience, done in ((INITIAL_LISTEN_SECONDS, watching.looked), (listen, stop.asked)):
                with suppress(TimeoutError):
                    async with asyncio.timeout(patience):
                        await first_completed(done.wait(), stop.asked.wait())
            state = watching.state()
    if as_json:
        click.echo(json.dumps(state.to_json(), indent=2))
    else:
        Console(width=PLAIN_WIDTH).print(screen(state, PLAIN_WIDTH, PLAIN_HEIGHT))


def _watching(sources: Sources) -> Watching:
    watching = Watching(sources, Runtime())
    structlog.configure(processors=[watching.complain])
    return watching
