"""Child processes: they end with this one, however it ends, and get no signals from the terminal."""

import asyncio
import ctypes
import os
import signal
import sys
from asyncio.subprocess import Process
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from sagakit.ctl.errors import CommandError
from sagakit.ctl.local.logs import MAX_LINE_BYTES, printable, read_line, tail

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None) if sys.platform == "linux" else None
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
        end = describe_exit(code)
        raise CommandError(f"{program.name} failed ({end}); {program.log} ends:", tail(program.log))


class Child:
    """A running program."""

    def __init__(self, process: Process, printing: asyncio.Task[None]) -> None:
        self._process = process
        self._printing = printing

    @classmethod
    async def start(cls, program: Program, log: BinaryIO, on_line: OnLine) -> "Child":
        """Start the program. Its output is appended to `log` as it is, and passed to `on_line` by line.

        Raises OSError if the program does not exist.
        """
        read_end, write_end = os.pipe()
        try:
            process = await start_process(program.argv, program.environ, write_end)
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
        kill_group(self._process)
        await self._drain_output()
        return code

    async def stop(self, grace_seconds: float) -> bool:
        """Ask the process to end and kill it after `grace_seconds`. Return False if it had to be killed."""
        alive = self._process.returncode is None
        ended = await stop_process(self._process, grace_seconds) if alive else True
        await self._drain_output()
        return ended

    def kill(self) -> None:
        """Kill the process and its children at once."""
        if self._process.returncode is None:
            kill_group(self._process)

    async def _drain_output(self) -> None:
        # The pipe stays open as long as any process holds it, in whatever group.
        await asyncio.wait([self._printing], timeout=_OUTPUT_DRAIN_SECONDS)
        self._printing.cancel()


async def _pass_on(read_end: int, log: BinaryIO, on_line: OnLine) -> None:
    reader = asyncio.StreamReader(limit=MAX_LINE_BYTES)
    pipe = os.fdopen(read_end, "rb", buffering=0)
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), pipe
    )
    try:
        while line := await read_line(reader):
            with suppress(OSError):  # A full disk must not stop the child.
                log.write(line)
            on_line(printable(line))
    finally:
        transport.close()


def end_with_parent(parent: int, signum: signal.Signals) -> None:
    """Have the kernel send this process `signum` when `parent` ends (Linux only; elsewhere a no-op).

    The kernel means the *thread* that forked, which is why children are started from the main one.
    """
    if _libc is None:
        return
    _libc.prctl(_PR_SET_PDEATHSIG, ctypes.c_ulong(signum), 0, 0, 0)
    if os.getppid() != parent:  # It ended before prctl took effect.
        os.kill(os.getpid(), signum)


async def start_process(argv: Sequence[str], environ: Mapping[str, str], output: int) -> Process:
    """Start a child in a session of its own that writes to the file descriptor `output`.

    It is killed when this process ends. Raises OSError if the program does not exist.
    """
    parent = os.getpid()
    return await asyncio.create_subprocess_exec(
        *argv,
        env=environ,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        start_new_session=True,
        preexec_fn=lambda: end_with_parent(parent, signal.SIGKILL),
    )


def kill_group(process: Process) -> None:
    """Kill the child and all its children."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


async def stop_process(process: Process, grace_seconds: float) -> bool:
    """Ask the child to end and kill it after `grace_seconds`. Return False if it had to be killed."""
    with suppress(ProcessLookupError):
        process.terminate()
    try:
        async with asyncio.timeout(grace_seconds):
            await process.wait()
            return True
    except TimeoutError:
        return False
    finally:
        kill_group(process)
        await process.wait()


def describe_exit(code: int) -> str:
    """Return an exit status in words."""
    return f"exit status {code}" if code >= 0 else f"killed by {signal.Signals(-code).name}"
