"""`sagactl dlq`: dead letters."""

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import click

from sagakit.ctl.cli import options
from sagakit.ctl.inspect.connect import open_dead_letters
from sagakit.ctl.inspect.dead_letter_queue import MAX_HELD, DeadLetterQueue, Handled, Report, why_left
from sagakit.ctl.inspect.dead_letters import DeadLetter, Filter
from sagakit.ctl.text import echo


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
    """List dead letters, one per line: event id, subscription, reason, order, why it is not verified."""
    _read(run_dir, Filter(**selection), lambda letter: [str(letter)])


@dlq.command()
@filtered
def show(run_dir: Path, **selection: Any) -> None:
    """Show dead letters with all attributes and the body."""
    _read(run_dir, Filter(**selection), DeadLetter.describe)


@dlq.command()
@filtered
@execute
@click.option("--unverified", is_flag=True, help="Also those whose publisher has no matching record.")
def redrive(run_dir: Path, execute: bool, unverified: bool, **selection: Any) -> None:
    """Publish dead letters to their topic again. Safe at any time: inboxes ignore applied events.

    A dead letter is compared with the record of the service that published it; look at an unverified one
    before you redrive it, as it may be forged. With --execute, exit 1 if one that the options select is left,
    or they select none although there are dead letters.
    """
    wanted, now = Filter(**selection), time.time()
    if execute:

        async def change(queue: DeadLetterQueue, report: Report) -> None:
            await queue.redrive(wanted, report, now, unverified=unverified)

        _execute(run_dir, change, "redriven", "not redriven")
    else:
        left = partial(why_left, now=now, unverified=unverified)
        _plan(run_dir, wanted, left, "would be redriven", "cannot be redriven")


@dlq.command()
@filtered
@execute
def drop(run_dir: Path, execute: bool, **selection: Any) -> None:
    """Remove dead letters for good.

    With --execute, exit 1 if one that the options select is left, or they select none although there are
    dead letters.
    """
    wanted = Filter(**selection)
    if execute:
        _execute(run_dir, lambda queue, report: queue.drop(wanted, report), "dropped", "not dropped")
    else:
        _plan(run_dir, wanted, lambda _: "", "would be dropped")


def _read(run_dir: Path, wanted: Filter, describe: Callable[[DeadLetter], Sequence[str]]) -> None:
    """Print the dead letters once all are read: a slow reader of the output must not hold them for long."""
    lines: list[str] = []
    queue = _run(run_dir, lambda queue: queue.read(wanted, lambda letter: lines.extend(describe(letter))))
    for line in lines:
        echo(line)
    if not lines and not queue.unwanted:
        echo("no dead letters")


def _plan(
    run_dir: Path, wanted: Filter, left: Callable[[DeadLetter], str], done: str, not_done: str = ""
) -> None:
    outcome = _Outcome(done, not_done)
    letters: list[Handled] = []
    _run(run_dir, lambda queue: queue.read(wanted, lambda each: letters.append(Handled(each, left(each)))))
    for each in letters:
        outcome.add(each)
    outcome.print()


def _execute(
    run_dir: Path, change: Callable[[DeadLetterQueue, Report], Awaitable[None]], done: str, not_done: str
) -> None:
    """Change the dead letters, and exit with 1 if some may be left that were meant."""
    outcome = _Outcome(done, not_done)
    try:
        queue = _run(run_dir, lambda queue: change(queue, outcome.add))
    finally:
        outcome.print()
    selected_none = queue.unwanted and not outcome.count
    if outcome.left or selected_none or not queue.is_complete:
        sys.exit(1)


class _Outcome:
    """Prints each dead letter that is done, then how many are, and those that are left with the reason."""

    def __init__(self, done: str, not_done: str) -> None:
        self._done = done
        self._not_done = not_done
        self.count = 0
        self.left: dict[str, list[str]] = {}

    def add(self, handled: Handled) -> None:
        if handled.left:
            self.left.setdefault(handled.left, []).append(str(handled.letter))
        else:
            self.count += 1
            echo(handled.letter)

    def print(self) -> None:
        echo(f"{self.count} {self._done}")
        for why, letters in self.left.items():
            for letter in letters:
                echo(letter)
            echo(f"{len(letters)} {self._not_done}: {why}")


def _run(run_dir: Path, work: Callable[[DeadLetterQueue], Awaitable[None]]) -> DeadLetterQueue:
    """Work, print what the options left out, and return the queue."""
    project = options.project()

    async def run() -> DeadLetterQueue:
        async with open_dead_letters(project, run_dir) as queue:
            await work(queue)
            if queue.unwanted:
                echo(f"not selected: {queue.unwanted}", err=True)
            if not queue.is_complete:
                echo(f"ended after {MAX_HELD} dead letters that stay: there may be more")
            return queue

    return asyncio.run(run())
