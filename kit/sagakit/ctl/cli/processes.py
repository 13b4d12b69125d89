"""`sagactl ps`, `stop`, `start`, `restart` and `logs`: the processes of the local suite."""

import asyncio
import time
from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

import click

from sagakit.ctl.cli import options
from sagakit.ctl.errors import CommandError
from sagakit.ctl.local.control_client import request
from sagakit.ctl.local.logs import last_lines, printable
from sagakit.ctl.local.runfile import LOGS
from sagakit.ctl.text import echo, highlighter
from sagakit.errors import SagaError

_POLL_INTERVAL_SECONDS = 0.2

program = click.argument("program", metavar="PROGRAM")


@click.command()
@options.run_dir
def ps(run_dir: Path) -> None:
    """List the processes of the local suite."""
    _control("ps", "", run_dir)


@click.command()
@program
@options.run_dir
def stop(program: str, run_dir: Path) -> None:
    """Stop a service (all replicas, or one: stock-2) or an emulator. It stays stopped until `start`."""
    _control("stop", program, run_dir)


@click.command()
@program
@options.run_dir
def start(program: str, run_dir: Path) -> None:
    """Start a stopped service or emulator."""
    _control("start", program, run_dir)


@click.command()
@program
@options.run_dir
def restart(program: str, run_dir: Path) -> None:
    """Restart a service one replica at a time, each once the one before accepts connections."""
    _control("restart", program, run_dir)


@click.command()
@program
@click.option("--lines", type=click.IntRange(1, 10_000), default=50, show_default=True)
@click.option("--follow", "-f", is_flag=True, help="Keep printing new lines until Ctrl-C.")
@options.run_dir
def logs(program: str, lines: int, follow: bool, run_dir: Path) -> None:
    """Print the end of a process's log."""
    log = run_dir / LOGS / f"{program}.log"
    if not log.exists():
        known = ", ".join(sorted(each.stem for each in log.parent.glob("*.log"))) or "none"
        raise CommandError(f"no log of {program}; logs: {known}")
    end = log.stat().st_size
    highlight = highlighter(options.project())
    for line in chain(last_lines(log, lines), _follow(log, end) if follow else ()):
        highlight.echo(line)


def _follow(log: Path, end: int) -> Iterator[str]:
    with log.open("rb") as file:
        file.seek(end)
        while True:
            line = file.readline()
            if line:
                yield printable(line.rstrip(b"\n"))
            else:
                time.sleep(_POLL_INTERVAL_SECONDS)


def _control(action: str, name: str, run_dir: Path) -> None:
    try:
        processes = asyncio.run(request(Path(options.local_suite(run_dir).control), action, name))
    except SagaError as error:
        raise CommandError(str(error)) from error
    for each in processes:
        echo(_line(each))


def _line(each: Mapping[str, Any]) -> str:
    pid = f"pid {each['pid']}, {each['seconds']:.0f} s" if each["pid"] else "-"
    return f"{each['name']:<24}  {each['state']:<10}  {pid}"
