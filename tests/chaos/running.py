"""Experiments on a suite that is running already, with `sagactl load` as its customers."""

import asyncio
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager

from sagakit.reminders import MAX_INTERVAL_SECONDS
from tests.chaos.stage import Stage

RATE = 3.0
"""Orders a second."""
AUDIT_WAIT_SECONDS = 120
DRAIN_SECONDS = MAX_INTERVAL_SECONDS + 60
"""After a long fault the next reminder of an order comes this late, at most."""
FIGURES = re.compile(r"\b(accepted|not accepted|skipped|retried) (\d+)")
"""Of a line in which `sagactl load` prints its ledger."""


class Printed:
    """The output of a running `sagactl load`."""

    def __init__(self, stream: asyncio.StreamReader) -> None:
        self.lines: list[str] = []
        self.figures: dict[str, int] = {}
        """Of the ledger, as it was printed last."""
        self._printed = asyncio.Condition()
        self._ended = False
        self.reading = asyncio.create_task(self._read(stream))

    async def further(self, count: int) -> None:
        """Return once `count` more lines were printed, or the load has ended."""
        wanted = len(self.lines) + count
        async with self._printed:
            await self._printed.wait_for(lambda: self._ended or len(self.lines) >= wanted)

    async def _read(self, stream: asyncio.StreamReader) -> None:
        while line := await stream.readline():
            await self._add(line.decode().rstrip())
        async with self._printed:
            self._ended = True
            self._printed.notify_all()

    async def _add(self, line: str) -> None:
        async with self._printed:
            self.lines.append(line)
            self.figures |= {name: int(count) for name, count in FIGURES.findall(line)}
            self._printed.notify_all()


class RunningStage(Stage):
    """A suite that others have started."""

    def __init__(self, environ: Mapping[str, str], *gateway: str) -> None:
        """`gateway`: options of `sagactl load` that name it."""
        super().__init__(environ)
        self._gateway = gateway
        self._loads: list[Printed] = []

    @property
    def retried(self) -> int:
        return sum(load.figures.get("retried", 0) for load in self._loads)

    @asynccontextmanager
    async def load(self, rate: float, *options: str) -> AsyncIterator[Printed]:
        """Place orders during the block, once it is under way; whatever is lost is a problem."""
        argv = ("load", *self._gateway, "--rate", f"{rate:g}", "--wait", "60", "--interval", "1")
        argv = (*argv, "--drain", f"{DRAIN_SECONDS:g}", *options)
        self.say(f"$ sagactl {' '.join(argv)} &")
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "sagactl", *argv, env={**os.environ, **self._environ}, stdout=pipe
        )
        assert process.stdout is not None
        printed = Printed(process.stdout)
        self._loads.append(printed)
        await printed.further(1)
        try:
            yield printed
        finally:
            if process.returncode is None:
                process.send_signal(signal.SIGTERM)
            await printed.reading
            for line in printed.lines[-2:]:
                self.say(line)
            if status := await process.wait():
                self.problems.append(f"sagactl load: exit status {status}")

    async def open_orders(self) -> int:
        return len((await self.sagactl("pending")).splitlines())

    async def hot_load(self, customers: int, basket: Mapping[str, int], seconds: float) -> Mapping[str, int]:
        """Order single units of the basket's item: up to `customers` a second, and at the same time."""
        (item,) = basket
        async with self.load(customers, "--item", item, "--in-flight", str(customers)) as printed:
            await asyncio.sleep(seconds)
        return printed.figures

    async def recover(self, _: float) -> None:
        """Wait until the load has printed what it has seen; its orders are awaited at its end."""
        for load in self._loads:
            await load.further(2)

    async def audit(self) -> None:
        """Wait until everything balances; if that takes too long, what does not is a problem."""
        status, found = await self._run(
            sys.executable, "-m", "sagactl", "audit", "--wait", str(AUDIT_WAIT_SECONDS)
        )
        self.problems += found.splitlines() if status else []


async def perform_under_load(
    stage: RunningStage, names: Sequence[str], perform: Callable[[Stage, str], Awaitable[None]]
) -> list[str]:
    """Perform the experiments; return what is wrong."""
    for name in names:
        async with stage.load(RATE):
            await perform(stage, name)
        await stage.audit()
    return stage.problems
