"""`sagactl top`: a live view of a suite."""

import asyncio
import json
import logging
import os
import sys
import termios
import tty
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any

import click
import structlog
from rich.console import Console
from rich.live import Live

from sagactl.dashboard.dashboard import Dashboard
from sagactl.dashboard.screen import screen
from sagactl.dashboard.sources import open_data_sources
from sagakit.concurrency import first_completed
from sagakit.ctl.cli import options
from sagakit.ctl.local.signals import StopSignals
from sagakit.ctl.text import echo
from sagakit.runtime import Runtime

REFRESH_INTERVAL_SECONDS = 0.25
LOAD_TIMEOUT_SECONDS = 30.0
PLAIN_WIDTH, PLAIN_HEIGHT = 100, 40
_PLAIN_TEXT: Mapping[str, Any] = {"markup": False, "emoji": False, "highlight": False}
"""Texts come from outside: brackets in them are no styles."""
_QUIT_KEYS = frozenset(b"qQ")


@click.command()
@click.option(
    "--once",
    is_flag=True,
    help="Print one snapshot as text and exit (default if stdout is not a terminal).",
)
@click.option("--json", "as_json", is_flag=True, help="Print one snapshot as JSON and exit.")
@click.option(
    "--sample-seconds",
    type=click.FloatRange(0, 3600),
    default=3,
    show_default=True,
    metavar="SECONDS",
    help="With --once or --json: how long to listen for events first.",
)
@options.suite
def top(once: bool, as_json: bool, sample_seconds: float, run_dir: Path) -> None:
    """Show a live view of orders: events, rates, durations and queue depths; q or Ctrl-C quits."""
    # gRPC's core logs to standard error, into the middle of the screen.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    logging.getLogger().addHandler(logging.NullHandler())
    if once or as_json or not sys.stdout.isatty():
        asyncio.run(_once(run_dir, sample_seconds, as_json=as_json))
    else:
        asyncio.run(_live(run_dir))


async def _live(run_dir: Path) -> None:
    console = Console(**_PLAIN_TEXT)
    async with _running(run_dir) as (dashboard, stop):
        with quitting(stop.requested.set), Live(console=console, screen=True, auto_refresh=False) as live:
            while not stop.requested.is_set():
                state = dashboard.state()
                live.update(screen(state, console.width, console.height, "q quits"), refresh=True)
                with suppress(TimeoutError):
                    await asyncio.wait_for(stop.requested.wait(), REFRESH_INTERVAL_SECONDS)


async def _once(run_dir: Path, sample_seconds: float, *, as_json: bool) -> None:
    async with _running(run_dir) as (dashboard, stop):
        for seconds, done in ((LOAD_TIMEOUT_SECONDS, dashboard.loaded), (sample_seconds, stop.requested)):
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await first_completed(done.wait(), stop.requested.wait())
        state = dashboard.state()
    if as_json:
        for line in json.dumps(state.to_json(), indent=2).splitlines():
            echo(line)
    else:
        Console(width=PLAIN_WIDTH, **_PLAIN_TEXT).print(screen(state, PLAIN_WIDTH, PLAIN_HEIGHT))


@asynccontextmanager
async def _running(run_dir: Path) -> AsyncIterator[tuple[Dashboard, StopSignals]]:
    stop = StopSignals()
    async with open_data_sources(run_dir) as sources:
        dashboard = Dashboard(sources, Runtime())
        structlog.configure(processors=[dashboard.warn])
        async with dashboard.run():
            yield dashboard, stop


@contextmanager
def quitting(quit_: Callable[[], None]) -> Iterator[None]:
    """Context manager: call `quit_` when q is pressed inside the block. A no-op without a terminal."""
    try:
        descriptor = sys.stdin.fileno()
        before = termios.tcgetattr(descriptor)
    except (OSError, ValueError, termios.error):
        yield
        return

    def pressed() -> None:
        keys = b""
        with suppress(OSError):
            keys = os.read(descriptor, 64)
        if not keys:
            loop.remove_reader(descriptor)
        if _QUIT_KEYS & set(keys):
            quit_()

    loop = asyncio.get_running_loop()
    tty.setcbreak(descriptor)
    loop.add_reader(descriptor, pressed)
    try:
        yield
    finally:
        loop.remove_reader(descriptor)
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)
