"""`sagactl load`: orders at a given rate, and whether every accepted one is found again."""

import asyncio
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import click
import httpx

from contract.shop import SHOP
from sagaclient import NotFound, SagaClient, SagaClientError, TransportError, Unavailable
from sagactl.load import CASES, MAX_READS, CountedRetries, Limits, Load, only
from sagakit.concurrency import first_completed
from sagakit.ctl.cli import options
from sagakit.ctl.errors import CommandError
from sagakit.ctl.local.dev_tokens import TOOL_TOKEN_SECONDS, tool_token
from sagakit.ctl.local.signals import StopSignals
from sagakit.ctl.text import echo
from sagakit.descriptors import connections_within

RETRY_INTERVAL_SECONDS = 1.0
DEFAULT_CONNECTIONS = 100
"""Of httpx, which a client has unless it is given a transport."""
DEFAULT_LIMITS = Limits()


@click.command()
@click.option("--gateway", metavar="URL", help="URL of the gateway; default: that of the local suite.")
@click.option(
    "--rate",
    type=click.FloatRange(0, min_open=True),
    default=2,
    envvar="LOAD_RATE",
    show_default=True,
    help="Orders per second, on average; the gaps between them are exponential.",
)
@click.option(
    "--seconds",
    type=click.FloatRange(0, min_open=True),
    envvar="LOAD_SECONDS",
    help="Place orders for this long; default: until stopped.",
)
@click.option(
    "--interval",
    type=click.FloatRange(0, min_open=True),
    default=10,
    show_default=True,
    metavar="SECONDS",
    help="Print the ledger at this interval.",
)
@click.option("--item", metavar="ID", help="Order single units of this item; default: orders of every kind.")
@click.option(
    "--in-flight",
    type=click.IntRange(1),
    default=DEFAULT_LIMITS.in_flight,
    show_default=True,
    metavar="N",
    help="Skip orders that are due while N others are being placed.",
)
@click.option(
    "--drain",
    type=click.FloatRange(0),
    default=DEFAULT_LIMITS.drain_seconds,
    show_default=True,
    metavar="SECONDS",
    help="Wait this long for open orders at the end.",
)
@options.wait("Retry for up to this many seconds until the gateway answers.")
@options.run_dir
def load(
    gateway: str | None, item: str | None, in_flight: int, drain: float, run_dir: Path, **pace: Any
) -> None:
    """Place orders of every kind until stopped, then check that none is lost; exit 1 if one is.

    Some are sold out, some exceed the payment limit, some are canceled, and some calls are repeated.
    """
    if gateway:
        options.announce(gateway)
    url = gateway or options.local_suite(run_dir).gateway

    async def run() -> bool:
        retries, limits = CountedRetries(), Limits(in_flight=in_flight, drain_seconds=drain)
        cases, transport = only(item) if item else CASES, network(in_flight + MAX_READS)
        try:
            async with SagaClient(url, token=_token(run_dir), retries=retries, transport=transport) as client:
                return await run_load(Load(client, limits, cases, retries.counts), **pace)
        except SagaClientError as error:
            raise CommandError(f"{url}: {error}") from error

    if not asyncio.run(run()):
        sys.exit(1)


def network(connections: int) -> httpx.AsyncBaseTransport | None:
    """Return a transport with this many connections; None if the client's own has enough."""
    if connections <= DEFAULT_CONNECTIONS:
        return None
    most = connections_within(connections)
    return httpx.AsyncHTTPTransport(limits=httpx.Limits(max_connections=most, max_keepalive_connections=most))


def _token(run_dir: Path) -> Callable[[], str] | None:
    """Return a source of valid tokens; None if the suite does not authenticate."""
    minted = cache(lambda _period: tool_token(run_dir, SHOP))
    return (lambda: minted(time.time() // (TOOL_TOKEN_SECONDS / 2))) if tool_token(run_dir, SHOP) else None


async def run_load(
    running: Load, rate: float, seconds: float | None, interval: float, wait: float = 0
) -> bool:
    """Run a load for `seconds`, or until the process is asked to stop; return whether nothing is lost.

    A second Ctrl-C ends the wait for orders that are open. Raises CommandError if the gateway does not answer
    within `wait` seconds.
    """
    signals, limits = StopSignals(), running.limits

    async def printing() -> None:
        while True:
            await asyncio.sleep(interval)
            echo(running.ledger)

    forever = float("inf") if seconds is None else seconds
    await first_completed(_until_answered(running.client, wait), signals.requested.wait())
    try:
        await first_completed(
            running.place(rate),
            running.follow(),
            printing(),
            signals.requested.wait(),
            asyncio.sleep(forever),
        )
        await first_completed(
            running.drain(), printing(), signals.force.wait(), asyncio.sleep(limits.drain_seconds)
        )
    finally:
        await running.aclose()
    return await _compare(running, limits.compare_seconds)


async def _until_answered(client: SagaClient, wait: float) -> None:
    deadline = time.monotonic() + wait
    while True:
        try:
            await client.get_cart("load")
        except NotFound:
            return
        except (TransportError, Unavailable) as error:
            if time.monotonic() >= deadline:
                raise CommandError(str(error)) from error
        except SagaClientError as error:
            raise CommandError(str(error)) from error
        else:
            return
        await asyncio.sleep(RETRY_INTERVAL_SECONDS)


async def _compare(running: Load, timeout_seconds: float) -> bool:
    """Compare the ledger with the orders, print the result, and return whether it is as it must be."""
    ledger = running.ledger
    compared = 0
    with suppress(TimeoutError):
        compared = await asyncio.wait_for(running.compare(), timeout_seconds)
    echo(ledger)
    for problem in ledger.problems:
        echo(problem, colour="red")
    if compared < len(ledger.recent):
        echo("the gateway does not answer: the ended orders were not compared", colour="red")
    if ledger.problems or ledger.open or compared < len(ledger.recent):
        return False
    echo(f"nothing is lost; the latest {compared} orders were compared once more", colour="green")
    return True
