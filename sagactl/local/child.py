"""One process of a program, and what it prints."""

import asyncio
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from sagactl.errors import CommandError
from sagactl.local import processes
from sagactl.local.logs import Lines, tail

_CHUNK_BYTES = 65_536
_OUTPUT_DRAIN_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Program:
    """A command to run, and the file for its output."""

    name: str
    argv: tuple[str, ...]
    environ: Mapping[str, str]
    log: Path


OnLine = Callable[[str], None]


def ignore_line(_line: str) -> None:
    """For output that goes to its log only."""


async def run_once(program: Program) -> None:
    """Run the program to its end. Raises CommandError with the end of its log if it fails."""
    with program.log.open("wb", buffering=0) as log:
        child = await Child.start(program, log, ignore_line)
        try:
            code = await child.ended()
        finally:
            await child.stop(grace_seconds=0)
    if code != 0:
        end = processes.describe_exit(code)
        raise CommandError(f"{program.name} failed ({end}); {program.log} ends:\n{tail(program.log)}")


class Child:
    """A running program."""

    def __init__(self, process: asyncio.subprocess.Process, printing: asyncio.Task[None]) -> None:
        self._process = process
        self._printing = printing

    @classmethod
    async def start(cls, program: Program, log: BinaryIO, on_line: OnLine) -> "Child":
        """Start the program. Its output is appended to `log` as it is, and passed to `on_line` by line.

        Raises OSError if there is no such program.
        """
        read_end, write_end = os.pipe()
        try:
            process = await processes.start(program.argv, program.environ, write_end)
        except BaseException:
            os.close(read_end)
            raise
        finally:
            os.close(write_end)
        return cls(process, asyncio.create_task(_pass_on(read_end, log, on_line)))

    @property
    def pid(self) -> int | None:
        """The process id; None once the process has ended."""
        return None if self._process.returncode is not None else self._process.pid

    async def ended(self) -> int:
        """Return the exit status once the process has ended; its own children are killed."""
        code = await self._process.wait()
        processes.kill_group(self._process)
        await self._drain_output()
        return code

    async def stop(self, grace_seconds: float) -> bool:
        """Ask the process to end and kill it after `grace_seconds`. Return whether asking sufficed."""
        alive = self._process.returncode is None
        sufficed = await processes.stop(self._process, grace_seconds) if alive else True
        await self._drain_output()
        return sufficed

    def kill(self) -> None:
        """Kill the process and its children at once."""
        if self._process.returncode is None:
            processes.kill_group(self._process)

    async def _drain_output(self) -> None:
        # The pipe stays open as long as any process holds it, in whatever group.
        await asyncio.wait([self._printing], timeout=_OUTPUT_DRAIN_SECONDS)
        self._printing.cancel()


async def _pass_on(read_end: int, log: BinaryIO, on_line: OnLine) -> None:
    reader = asyncio.StreamReader()
    pipe = os.fdopen(read_end, "rb", buffering=0)
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), pipe
    )
    lines = Lines()
    try:
        while data := await reader.read(_CHUNK_BYTES):
            with suppress(OSError):  # A full disk must not stop the child.
                log.write(data)
            for line in lines.feed(data):
                on_line(line)
        for line in lines.rest():
            on_line(line)
    finally:
        transport.close()
