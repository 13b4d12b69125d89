"""Keeps programs running: starts them, starts them again when they end, tells of it, stops them all."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Any, BinaryIO

from sagactl.local.child import Child, OnLine, Program
from sagactl.local.logs import tail
from sagactl.local.processes import describe_exit
from sagactl.local.restart_policy import CRASH_LOOP_RESTARTS, RESTART_BACKOFF, RestartPolicy
from sagakit.runtime import Backoff

Recover = Callable[[], Awaitable[None]]


class SupervisedProcess:
    """A program that is started again whenever it ends."""

    def __init__(
        self, program: Program, restarts: RestartPolicy, say: OnLine, echo: OnLine, recover: Recover | None
    ) -> None:
        self.program = program
        self.restarts = restarts
        self._say = say
        self._echo = echo
        self._recover = recover
        self._child: Child | None = None
        self._wanted = asyncio.Event()
        self._wanted.set()
        self._asked_to_end = False
        self._began = 0.0

    @property
    def status(self) -> dict[str, Any]:
        """How it is, for whoever asks."""
        pid = None if self._child is None else self._child.pid
        state = "running" if pid else "ended" if self._wanted.is_set() else "stopped"
        seconds = asyncio.get_running_loop().time() - self._began
        return {"name": self.program.name, "state": state, "pid": pid, "seconds": seconds}

    def start(self) -> None:
        """Let it run (again)."""
        self._wanted.set()

    async def stop(self, grace_seconds: float) -> None:
        """Return once it is gone; it stays so until it is told to start."""
        self._wanted.clear()
        if self._child is not None and self._child.pid is not None:
            self._asked_to_end = True
            await self._child.stop(grace_seconds)

    async def keep(self, grace_seconds: float, gave_up: Callable[["SupervisedProcess"], None]) -> None:
        """Never returns; cancelled, it ends the program first."""
        loop = asyncio.get_running_loop()
        with self.program.log.open("wb", buffering=0) as log:
            while True:
                await self._wanted.wait()
                self._began = loop.time()
                end = await self._live(log, grace_seconds)
                if self._asked_to_end:
                    self._asked_to_end = False
                    self._say(f"{self.program.name} was stopped ({end})")
                    continue
                pause = self.restarts.delay_after(loop.time() - self._began)
                self._tell(end, pause)
                if self.restarts.gave_up:
                    gave_up(self)
                await asyncio.sleep(pause)

    def kill(self) -> None:
        """End its process at once."""
        if self._child is not None:
            self._child.kill()

    async def _live(self, log: BinaryIO, grace_seconds: float) -> str:
        try:
            self._child = await Child.start(self.program, log, self._echo)
        except OSError as error:
            return f"cannot be started: {error}"
        recovery = asyncio.ensure_future(self._after_start())
        try:
            return describe_exit(await self._child.ended())
        finally:
            recovery.cancel()
            if not await self._child.stop(grace_seconds):
                self._say(f"{self.program.name} did not end within {grace_seconds:g} s and was killed")

    async def _after_start(self) -> None:
        if self._recover is not None and self.restarts.in_a_row:
            await self._recover()

    def _tell(self, end: str, pause: float) -> None:
        name, log = self.program.name, self.program.log
        if not self.restarts.crash_looping:
            self._say(f"{name} ended ({end}); it is started again in {pause:.1f} s")
            return
        times = self.restarts.in_a_row
        self._say(f"{name} keeps ending ({times} times in a row; {end}); next try in {pause:.0f} s")
        if times % CRASH_LOOP_RESTARTS == 0:
            self._say(f"{log} ends:\n{tail(log)}")


class Supervisor:
    """Programs that are supervised running until `stop`."""

    def __init__(self, say: OnLine, grace_seconds: float, pauses: Backoff = RESTART_BACKOFF) -> None:
        """`grace_seconds` is what a program has, once asked to end, before it is killed."""
        self._say = say
        self._grace_seconds = grace_seconds
        self._pauses = pauses
        self._supervised: dict[SupervisedProcess, asyncio.Task[None]] = {}
        self._gave_up: asyncio.Queue[SupervisedProcess] = asyncio.Queue()

    def keep(self, program: Program, echo: OnLine, recover: Recover | None = None) -> None:
        """Start it, and again whenever it ends, each time but the first followed by `recover`."""
        restarts = RestartPolicy(self._pauses, random.Random())
        supervised = SupervisedProcess(program, restarts, self._say, echo, recover)
        task = asyncio.create_task(supervised.keep(self._grace_seconds, self._gave_up.put_nowait))
        self._supervised[supervised] = task

    def find(self, name: str) -> list[SupervisedProcess]:
        """The program of that name, or all replicas of the service of that name; all there are for ""."""
        return [
            supervised
            for supervised in self._supervised
            if not name
            or supervised.program.name == name
            or supervised.program.name.rpartition("-")[0] == name
        ]

    async def gave_up(self) -> Program:
        """The next program that has ended several times in a row."""
        return (await self._gave_up.get()).program

    async def failed(self) -> None:
        """Never returns; raises what keeps a program from being supervised, if that ever happens."""
        if self._supervised:
            done, _ = await asyncio.wait(self._supervised.values(), return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        await asyncio.Event().wait()

    async def stop(self, force: asyncio.Event) -> None:
        """Return once all programs are gone: asked, then killed after the grace or when in a force."""
        for task in self._supervised.values():
            task.cancel()
        ended = asyncio.gather(*self._supervised.values(), return_exceptions=True)
        forced = asyncio.create_task(force.wait())
        await asyncio.wait((ended, forced), return_when=asyncio.FIRST_COMPLETED)
        forced.cancel()
        for supervised in self._supervised:
            supervised.kill()
        await ended
