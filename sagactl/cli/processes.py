"""`sagactl ps`, `stop`, `start`, `restart` and `logs`: the processes of the local suite."""

import asyncio
import time
from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

import click

from contract.control import request
from sagactl.cli import options
from sagactl.errors import CommandError
from sagactl.highlight import paint
from sagactl.local.logs import fit, last_lines
from sagactl.local.runfile import Suite, read_suite
from sagakit.errors import SagaError

_POLL_SECONDS = 0.2

program = click.argument("program", metavar="PROGRAM")


@click.command()
@options.run_dir
def ps(run_dir: Path) -> None:
    """List the processes of the local suite."""
    _do("ps", "", run_dir)


@click.command()
@program
@options.run_dir
def stop(program: str, run_dir: Path) -> None:
    """Stop a service (all its replicas, or one: stock-2) or an emulator, and keep it stopped."""
    _do("stop", program, run_dir)


@click.command()
@program
@options.run_dir
def start(program: str, run_dir: Path) -> None:
    """Start what was stopped."""
    _do("start", program, run_dir)


@click.command()
@program
@options.run_dir
def restart(program: str, run_dir: Path) -> None:
    """Stop and start a service, one replica after the other, each once the one before listens again."""
    _do("restart", program, run_dir)


@click.command()
@program
@click.option("--lines", type=click.IntRange(1, 10_000), default=50, show_default=True)
@click.option("--follow", "-f", is_flag=True, help="Go on as it grows, until Ctrl-C.")
@options.run_dir
def logs(program: str, lines: int, follow: bool, run_dir: Path) -> None:
    """Show the end of the log of a process."""
    log = run_dir / "logs" / f"{program}.log"
    if not log.exists():
        known = ", ".join(sorted(each.stem for each in log.parent.glob("*.log"))) or "none"
        raise CommandError(f"there is no log of {program}; there are: {known}")
    end = log.stat().st_size
    painted = paint()
    for line in chain(last_lines(log, lines), _grown(log, end) if follow else ()):
        click.echo(f"  {painted.line(line)}")


def _grown(log: Path, end: int) -> Iterator[str]:
    with log.open("rb") as file:
        file.seek(end)
        while True:
            line = file.readline()
            if line:
                yield fit(line.rstrip(b"\n"))
            else:
                time.sleep(_POLL_SECONDS)


def _do(what: str, name: str, run_dir: Path) -> None:
    try:
        programs = asyncio.run(request(Path(_suite(run_dir).control), what, name))
    except SagaError as error:
        raise CommandError(str(error)) from error
    for each in programs:
        click.echo(_in_a_line(each))


def _suite(run_dir: Path) -> Suite:
    suite = read_suite(run_dir)
    if suite is None:
        raise CommandError(f"no suite runs in {run_dir}")
    return suite


def _in_a_line(each: Mapping[str, Any]) -> str:
    where = f"pid {each['pid']}, {each['seconds']:.0f} s" if each["pid"] else "-"
    return f"{each['name']:<24}  {each['state']:<10}  {where}"
