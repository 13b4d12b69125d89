"""Child processes that end with this one, however it ends, and that get no signals from the terminal."""

import asyncio
import ctypes
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None) if sys.platform == "linux" else None


def end_with_parent(parent: int, signum: signal.Signals) -> None:
    """Have the kernel send this process `signum` when `parent` ends (Linux only; elsewhere a no-op).

    The kernel means the *thread* that forked, which is why children are started from the main one.
    """
    if _libc is None:
        return
    _libc.prctl(_PR_SET_PDEATHSIG, ctypes.c_ulong(signum), 0, 0, 0)
    if os.getppid() != parent:  # It ended before prctl took effect.
        os.kill(os.getpid(), signum)


async def start(argv: Sequence[str], environ: Mapping[str, str], output: int) -> asyncio.subprocess.Process:
    """Start a child in a session of its own that writes to the file descriptor `output`.

    It is killed when this process ends. Raises OSError if there is no such program.
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


def kill_group(process: asyncio.subprocess.Process) -> None:
    """Kill the child and all its children."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


async def stop(process: asyncio.subprocess.Process, grace_seconds: float) -> bool:
    """Ask the child to end and kill it after `grace_seconds`. Return whether asking sufficed."""
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
