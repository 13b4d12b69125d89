"""Child processes that end with this one, however it ends, and that no terminal signals directly."""

import asyncio
import ctypes
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None) if sys.platform == "linux" else None


def end_with_parent(parent: int, signum: signal.Signals) -> None:
    """Have the kernel send this process `signum` when `parent` ends (on Linux; elsewhere nothing).

    The kernel means the *thread* that forked, which is why children are started from the main one.
    """
    if _libc is None:
        return
    _libc.prctl(_PR_SET_PDEATHSIG, ctypes.c_ulong(signum), 0, 0, 0)
    if os.getppid() != parent:  # It ended before it could be watched.
        os.kill(os.getpid(), signum)


async def start(argv: Sequence[str], environ: Mapping[str, str], output: int) -> asyncio.subprocess.Process:
    """A child in a session of its own that writes to the file descriptor `output`.

    It is killed when this process ends. Raises OSError where there is no such program.
    """
    return await asyncio.create_subprocess_exec(
        *argv,
        env=environ,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        start_new_session=True,
        preexec_fn=_killed_with(os.getpid()),
    )


def _killed_with(parent: int) -> Callable[[], None]:
    def in_child() -> None:
        end_with_parent(parent, signal.SIGKILL)

    return in_child


def ask_to_end(process: asyncio.subprocess.Process) -> None:
    with suppress(ProcessLookupError):
        process.terminate()


def kill_group(process: asyncio.subprocess.Process) -> None:
    """End the child, and whatever it has started itself, at once."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


async def stop(process: asyncio.subprocess.Process, grace_seconds: float) -> bool:
    """Return once the child is gone: asked first, killed after `grace_seconds`. Whether asking was enough."""
    ask_to_end(process)
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
    """An exit status in words."""
    return f"exit status {code}" if code >= 0 else f"killed by {signal.Signals(-code).name}"
