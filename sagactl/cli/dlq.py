"""`sagactl dlq …`."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from sagactl.cli import options
from sagactl.inspect import dead_letters as letters
from sagactl.inspect.connect import open_letters
from sagactl.inspect.dead_letters import Filter, Letter


def filtered(command: Callable[..., None]) -> Callable[..., None]:
    """The options that say which letters are meant."""
    for option in (
        click.option("--event", "eventid", metavar="EVENTID", help="Only the one of that event."),
        click.option("--reason", help="Only those whose reason begins so."),
        click.option("--subscription", help="Only those that failed there."),
        options.run_dir,
    ):
        command = option(command)
    return command


execute = click.option("--execute", is_flag=True, help="Do it; else only say what would be done.")


@click.group()
def dlq() -> None:
    """Look into the dead letters, put them back, or drop them."""


@dlq.command("list")
@filtered
def list_(run_dir: Path, **which: Any) -> None:
    """List them, a line each: event, subscription, reason, order."""
    for letter in _read(run_dir, Filter(**which)):
        click.echo(letter)


@dlq.command()
@filtered
def show(run_dir: Path, **which: Any) -> None:
    """Show all there is to know of them."""
    for letter in _read(run_dir, Filter(**which)):
        click.echo("\n".join(letters.describe(letter)))


@dlq.command()
@filtered
@execute
def redrive(run_dir: Path, execute: bool, **which: Any) -> None:
    """Put them back where they came from. Safe at any time: what was applied is not applied again."""
    wanted = Filter(**which)
    if execute:
        _say("put back", asyncio.run(_redrive(run_dir, wanted)))
    else:
        found = _read(run_dir, wanted)
        _say("would be put back", [letter for letter in found if letter.topic is not None])
        _say(
            "cannot be put back: unknown where they came from", [each for each in found if each.topic is None]
        )


@dlq.command()
@filtered
@execute
def drop(run_dir: Path, execute: bool, **which: Any) -> None:
    """Remove them for good."""
    wanted = Filter(**which)
    if execute:
        _say("dropped", asyncio.run(_drop(run_dir, wanted)))
    else:
        _say("would be dropped", _read(run_dir, wanted))


def _say(what: str, found: list[Letter]) -> None:
    for letter in found:
        click.echo(letter)
    click.echo(f"{len(found)} {what}")


def _read(run_dir: Path, wanted: Filter) -> list[Letter]:
    async def read() -> list[Letter]:
        async with open_letters(run_dir) as (subscription, _):
            return await letters.read(subscription, wanted)

    return asyncio.run(read())


async def _redrive(run_dir: Path, wanted: Filter) -> list[Letter]:
    async with open_letters(run_dir) as (subscription, bus):
        return await letters.redrive(subscription, bus, wanted, time.time())


async def _drop(run_dir: Path, wanted: Filter) -> list[Letter]:
    async with open_letters(run_dir) as (subscription, _):
        return await letters.drop(subscription, wanted)
