"""`sagactl dlq`: dead letters."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import click

from sagactl.cli import options
from sagactl.inspect import dead_letters
from sagactl.inspect.connect import open_dead_letters
from sagactl.inspect.dead_letters import DeadLetter, Filter
from sagakit.bus import Bus, PullSubscription

Work = Callable[[PullSubscription, Bus], Awaitable[list[DeadLetter]]]


def filtered(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that select dead letters."""
    for option in (
        click.option("--event", "eventid", metavar="EVENTID", help="Only the message with this event id."),
        click.option("--reason-prefix", "reason", help="Only messages whose reason starts with this text."),
        click.option("--subscription", help="Only messages of this subscription."),
        options.suite,
    ):
        command = option(command)
    return command


execute = click.option(
    "--execute", is_flag=True, help="Make the change; without it, only print what would change."
)


@click.group()
def dlq() -> None:
    """List, show, redrive or drop dead letters."""


@dlq.command("list")
@filtered
def list_(run_dir: Path, **selection: Any) -> None:
    """List dead letters, one per line: event id, subscription, reason, order."""
    for each in _read(run_dir, Filter(**selection)):
        click.echo(each)


@dlq.command()
@filtered
def show(run_dir: Path, **selection: Any) -> None:
    """Show dead letters with all attributes and the body."""
    for each in _read(run_dir, Filter(**selection)):
        click.echo("\n".join(each.describe()))


@dlq.command()
@filtered
@execute
def redrive(run_dir: Path, execute: bool, **selection: Any) -> None:
    """Publish dead letters to their topic again. Safe at any time: inboxes ignore applied events."""
    wanted = Filter(**selection)
    if execute:
        redriven = _run(run_dir, lambda source, bus: dead_letters.redrive(source, bus, wanted, time.time()))
        _print("redriven", redriven)
        return
    found = _read(run_dir, wanted)
    _print("would be redriven", [each for each in found if each.topic is not None])
    _print("cannot be redriven: their topic is unknown", [each for each in found if each.topic is None])


@dlq.command()
@filtered
@execute
def drop(run_dir: Path, execute: bool, **selection: Any) -> None:
    """Remove dead letters for good."""
    wanted = Filter(**selection)
    if execute:
        _print("dropped", _run(run_dir, lambda source, _: dead_letters.drop(source, wanted)))
    else:
        _print("would be dropped", _read(run_dir, wanted))


def _print(what: str, found: list[DeadLetter]) -> None:
    for each in found:
        click.echo(each)
    click.echo(f"{len(found)} {what}")


def _read(run_dir: Path, wanted: Filter) -> list[DeadLetter]:
    return _run(run_dir, lambda source, _: dead_letters.read(source, wanted))


def _run(run_dir: Path, work: Work) -> list[DeadLetter]:
    async def run() -> list[DeadLetter]:
        async with open_dead_letters(run_dir) as (subscription, bus):
            return await work(subscription, bus)

    return asyncio.run(run())
