"""A suite of real processes, for measuring from outside."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

START_SECONDS = 60.0
STOP_SECONDS = 20.0


@asynccontextmanager
async def running_suite(run_dir: Path, environ: Mapping[str, str]) -> AsyncIterator[str]:
    """Yields the gateway's URL; afterwards nothing of it is left."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "sagactl", "up", "--port", "0", "--run-dir", str(run_dir), "--with-parent"),
        env={**os.environ, **environ},
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None  # noqa: S101  it was asked for
    line = b""
    async with asyncio.timeout(START_SECONDS):
        while not line.startswith(b"ready: "):
            line = await process.stdout.readline()
            if not line:
                raise RuntimeError("the suite did not start")
    reading = asyncio.create_task(_discard(process.stdout))
    try:
        yield line.decode().split()[1]
    finally:
        process.send_signal(signal.SIGINT)
        async with asyncio.timeout(STOP_SECONDS):
            await process.wait()
        await reading


async def _discard(output: asyncio.StreamReader) -> None:
    while await output.read(65_536):
        pass
