"""Runs programs and restarts them with backoff when they end, until they are stopped."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Collection
from typing import Any, BinaryIO

from sagakit.concurrency import first_completed
from sagakit.ctl.local.child import Child, OnLine, Program, describe_exit
from sagakit.ctl.local.logs import tail
from sagakit.runtime import Backoff

STABLE_AFTER_SECONDS = 30.0
"""A process that ran for this long resets the count of exits in a row."""
MAX_RESTARTS = 3
"""Exits in a row that end the start of a suite."""
CRASH_LOOP_RESTARTS = 5
"""Exits in a row that are reported as a crash loop."""
RESTART_BACKOFF = Backoff(first_seconds=0.5, cap_seconds=30.0, attempts=2**31)

Recover = Callable[[], Awaitable[None]]


class RestartPolicy:
    """Counts the exits in a row of one program."""

    def __init__(self, backoff: Backoff, randomness: random.Random) -> None:
        self._backoff = backoff
        self._random = randomness
        self.in_a_row = 0

    def delay_after(self, lived_seconds: float) -> float:
        """Return the seconds to wait after one more exit: 50 to 100 % of a delay that doubles up to a cap."""
        self.in_a_row = 1 if lived_seconds >= STABLE_AFTER_SECONDS else self.in_a_row + 1
        return self._backoff.max_delay(self.in_a_row - 1) * self._random.uniform(0.5, 1.0)

    @property
    def gave_up(self) -> bool:
        return self.in_a_row >= MAX_RESTARTS

    @property
    def crash_looping(self) -> bool:
        return self.in_a_row >= CRASH_LOOP_RESTARTS


class SupervisedProcess:
    """A program that is restarted whenever it ends."""

    def __init__(
        self, program: Program, restarts: RestartPolicy, print_: OnLine, echo: OnLine, recover: Recover | None
    ) -> None:
        self.program = program
        self.restarts = restarts
        self._print = print_
        self._echo = echo
        self._recover = recover
        self._child: Child | None = None
        self._wanted = asyncio.Event()
        self._wanted.set()
        self._stop_requested = False
        self._idle = asyncio.Event()
        self._idle.set()
        self._starts = 0
        self._started_at = 0.0
        self._end = ""
        self._has_ended = asyncio.Event()

    def status(self) -> dict[str, Any]:
        """Return name, state (running, ended or stopped), pid and seconds since the last start."""
        pid = None if self._child is None else self._child.pid
        state = "running" if pid else "ended" if self._wanted.is_set() else "stopped"
        seconds = asyncio.get_running_loop().time() - self._started_at
        return {"name": self.program.name, "state": state, "pid": pid, "seconds": seconds}

    def start(self) -> None:
        """Allow the program to run again."""
        self._has_ended.clear()
        self._wanted.set()

    async def ended(self) -> str:
        """Return how the program ended, once it has without a request since the last `start`."""
        await self._has_ended.wait()
        return self._end

    async def stop(self, grace_seconds: float) -> None:
        """Return once the process is gone. It stays stopped until `start`."""
        self._wanted.clear()
        if self._idle.is_set():
            return
        self._stop_requested = True
        if self._child is not None and self._child.pid is not None:
            await self._child.stop(grace_seconds)
        await self._idle.wait()  # One that is being started ends as soon as it has.

    async def supervise(
        self, grace_seconds: float, on_give_up: Callable[["SupervisedProcess"], None]
    ) -> None:
        """Run and restart the program for ever. If cancelled, end the process first."""
        loop = asyncio.get_running_loop()
        with self.program.log.open("wb", buffering=0) as log:
            while True:
                while not self._wanted.is_set():  # A stop may follow a start before this task continues.
                    await self._wanted.wait()
                self._starts += 1
                self._started_at = loop.time()
                self._idle.clear()
                try:
                    end = await self._run(log, grace_seconds)
                finally:
                    self._idle.set()
                if self._stop_requested:
                    self._stop_requested = False
                    self._print(f"{self.program.name} was stopped ({end})")
                    continue
                self._end = end
                self._has_ended.set()
                delay = self.restarts.delay_after(loop.time() - self._started_at)
                self._report(end, delay)
                if self.restarts.gave_up:
                    on_give_up(self)
                await asyncio.sleep(delay)

    def kill(self) -> None:
        """Kill the process and its children at once."""
        if self._child is not None:
            self._child.kill()

    async def _run(self, log: BinaryIO, grace_seconds: float) -> str:
        try:
            self._child = await Child.start(self.program, log, self._echo)
        except OSError as error:
            return f"cannot be started: {error}"
        recovery = asyncio.ensure_future(self._after_restart())
        try:
            if self._stop_requested:  # while it was being started
                await self._child.stop(grace_seconds)
            return describe_exit(await self._child.ended())
        finally:
            recovery.cancel()
            if not await self._child.stop(grace_seconds):
                self._print(f"{self.program.name} did not end within {grace_seconds:g} s and was killed")

    async def _after_restart(self) -> None:
        if self._recover is not None and self._starts > 1:
            await self._recover()

    def _report(self, end: str, delay: float) -> None:
        name, log = self.program.name, self.program.log
        if not self.restarts.crash_looping:
            self._print(f"{name} ended ({end}); restarting in {delay:.1f} s")
            return
        times = self.restarts.in_a_row
        self._print(f"{name} is crash-looping ({times} exits in a row; {end}); next try in {delay:.0f} s")
        if times % CRASH_LOOP_RESTARTS == 0:
            self._print(f"{log} ends:\n{tail(log)}")


class Supervisor:
    """Keeps programs running until `stop`."""

    def __init__(self, print_: OnLine, grace_seconds: float, backoff: Backoff = RESTART_BACKOFF) -> None:
        """`grace_seconds`: time between a request to end and the kill."""
        self._print = print_
        self._grace_seconds = grace_seconds
        self._backoff = backoff
        self._tasks: dict[SupervisedProcess, asyncio.Task[None]] = {}
        self._gave_up: asyncio.Queue[SupervisedProcess] = asyncio.Queue()

    def add(self, program: Program, echo: OnLine, recover: Recover | None = None) -> None:
        """Start a program and restart it whenever it ends; each restart is followed by `recover`."""
        restarts = RestartPolicy(self._backoff, random.Random())
        process = SupervisedProcess(program, restarts, self._print, echo, recover)
        self._tasks[process] = asyncio.create_task(
            process.supervise(self._grace_seconds, self._gave_up.put_nowait)
        )

    @property
    def processes(self) -> Collection[SupervisedProcess]:
        return self._tasks.keys()

    async def gave_up(self) -> Program:
        """Return the next program that has ended MAX_RESTARTS times in a row."""
        return (await self._gave_up.get()).program

    async def failed(self) -> None:
        """Raise what ended the supervision of a program, if that ever happens; else never return."""
        if self._tasks:
            done, _ = await asyncio.wait(self._tasks.values(), return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        await asyncio.Event().wait()

    async def stop(self, force: asyncio.Event) -> None:
        """Return once all processes are gone: asked to end, killed after the grace period or on `force`."""
        for task in self._tasks.values():
            task.cancel()
        ended = asyncio.gather(*self._tasks.values(), return_exceptions=True)
        await first_completed(asyncio.shield(ended), force.wait())
        for process in self._tasks:
            process.kill()
        await ended
