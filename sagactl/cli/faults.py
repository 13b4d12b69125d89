"""`sagactl faults`: faults of a running suite, switched on and off in its backend."""

import asyncio
import os
import time
import uuid
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from contract.tickets import ORDER_TICKET
from contract.topology import TOPOLOGY
from sagactl.project import PROJECT
from sagakit.bus import Bus, Message
from sagakit.ctl.cli import options
from sagakit.ctl.errors import CommandError
from sagakit.ctl.inspect.connect import open_dead_letters, open_suite_backend, open_tables
from sagakit.ctl.inspect.dead_letter_queue import Handled
from sagakit.ctl.inspect.target import choose
from sagakit.ctl.text import echo
from sagakit.events import timestamp
from sagakit.pauses import load_paused, save_paused
from sagakit.settings import FAULTS_ALLOWED, is_production
from sagakit.tables import Tables
from services.payment.simulated import FaultSettings, load_faults, save_faults

POISON_TOPIC = "com.example.delivery"
"""Topic of the events that no service can process. It has one subscriber: each makes one dead letter."""
EVENT_PREFIX = "fault-"
"""Start of their event ids."""
services = click.Choice(TOPOLOGY.names)


@click.group()
def faults() -> None:
    """List, set or clear faults of the running suite; for tests and game days."""


@faults.command("list")
@options.suite
def list_(run_dir: Path) -> None:
    """List the faults and whether they are set."""
    asyncio.run(_list(run_dir))


@faults.command("set")
@click.option(
    "--provider-unavailable/--provider-available",
    "unavailable",
    default=None,
    help="Whether the payment provider can be reached.",
)
@click.option(
    "--provider-delay",
    "delay_seconds",
    type=click.FloatRange(0, 3600),
    metavar="SECONDS",
    help="How long a charge takes, in seconds.",
)
@click.option(
    "--provider-drops-responses/--provider-responds",
    "drop_responses",
    default=None,
    help="Charge, but drop the provider's response (simulates a timeout).",
)
@click.option("--pause", type=services, multiple=True, help="Service that is to pull no events.")
@click.option("--resume", type=services, multiple=True, help="Service that is to pull events again.")
@click.option(
    "--dead-letters",
    type=click.IntRange(1, 1000),
    metavar="COUNT",
    help="Publish this many events that no service can process.",
)
@options.suite
def set_(
    run_dir: Path, pause: tuple[str, ...], resume: tuple[str, ...], dead_letters: int | None, **provider: Any
) -> None:
    """Set faults; others keep their value. Services take up to 2 seconds to notice, 7 to resume.

    Rejected in production (ENVIRONMENT=production, or Datastore itself) unless FAULTS_ALLOWED=true is set,
    here and, for --pause, for the services.
    """
    require_allowed(run_dir, os.environ)
    given = {name: value for name, value in provider.items() if value is not None}

    async def apply() -> None:
        async with open_suite_backend(run_dir) as backend:
            if given:
                await save_faults(backend.tables, replace(await load_faults(backend.tables), **given))
            if pause or resume:
                paused = await load_paused(backend.tables)
                await save_paused(backend.tables, (paused | {*pause}) - {*resume})
            if dead_letters:
                await _publish_poison(backend.bus, dead_letters)
        await _list(run_dir)

    asyncio.run(apply())


@faults.command()
@options.suite
def clear(run_dir: Path) -> None:
    """Switch all faults off, and drop the dead letters that `set` has made."""

    async def apply() -> None:
        async with open_tables(run_dir) as tables:
            await _clear(tables)
        dropped: list[Handled] = []
        async with open_dead_letters(PROJECT, run_dir) as queue:
            await queue.drop(lambda letter: letter.eventid.startswith(EVENT_PREFIX), dropped.append)
        if dropped:
            echo(f"dead letters dropped: {len(dropped)}")
        await _list(run_dir)

    asyncio.run(apply())


def require_allowed(run_dir: Path, environ: Mapping[str, str]) -> None:
    """Raise CommandError if the suite is in production and faults are not allowed in it."""
    target = choose(run_dir, environ)
    backend = target.settings
    is_real = is_production(target.environ) or (backend.backend == "gcp" and not backend.datastore_emulator)
    if is_real and target.environ.get(FAULTS_ALLOWED, "").strip() != "true":
        raise CommandError(f"faults are rejected in production; {FAULTS_ALLOWED}=true allows them")


async def _list(run_dir: Path) -> None:
    async with open_tables(run_dir) as tables:
        provider, paused = await load_faults(tables), await load_paused(tables)
    echo(f"provider unavailable: {_yes_or_no(provider.unavailable)}")
    echo(f"provider delay: {provider.delay_seconds:g} s")
    echo(f"provider drops responses: {_yes_or_no(provider.drop_responses)}")
    echo(f"paused: {', '.join(sorted(paused)) or 'none'}")


async def _clear(tables: Tables) -> None:
    provider = await load_faults(tables)
    if provider != FaultSettings():
        await save_faults(tables, FaultSettings(unknown=provider.unknown))
    if await load_paused(tables):
        await save_paused(tables, ())


async def _publish_poison(bus: Bus, count: int) -> None:
    await bus.publish(POISON_TOPIC, [_poison() for _ in range(count)])
    echo(f"events published that no service can process: {count}")


def _poison() -> Message:
    attributes = {"type": ORDER_TICKET, "time": timestamp(time.time())}
    return Message(b"not an order ticket", {"eventid": f"{EVENT_PREFIX}{uuid.uuid4().hex}", **attributes})


def _yes_or_no(value: bool) -> str:
    return "yes" if value else "no"
