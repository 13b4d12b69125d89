"""The experiments of a game day on the suite that `make run` has started."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from contract.topology import TOPOLOGY
from sagakit.ctl.errors import CommandError
from sagakit.ctl.local.control_client import request
from sagakit.ctl.local.emulators import PUBSUB
from sagakit.ctl.local.runfile import RUN_DIR, require_suite
from sagakit.ctl.project import is_process_of
from tests.chaos.running import RunningStage, perform_under_load
from tests.chaos.stage import NotPossibleError, Stage, delete_messages


class SuiteStage(RunningStage):
    """The local suite of a run directory."""

    def __init__(self, run_dir: Path) -> None:
        """Raises CommandError if no suite runs there."""
        super().__init__({"RUN_DIR": str(run_dir)})
        self._suite = require_suite(run_dir)

    async def kill(self, service: str) -> None:
        for process in await self._processes():
            if is_process_of(service, process["name"]) and process["pid"]:
                self.say(f"kill -9 of {process['name']}")
                os.kill(process["pid"], signal.SIGKILL)
                return
        self.problems.append(f"no process of {service} was running")

    @asynccontextmanager
    async def drained_node(self) -> AsyncIterator[None]:
        """Stop the first replica of each service; there is one gateway, which stays."""
        first = [replicas[0] for replicas in await self._replicas()]
        for name in first:
            await self.sagactl("stop", name)
        try:
            yield
        finally:
            for name in first:
                await self.sagactl("start", name)

    async def empty_broker(self) -> None:
        if "EMBEDDED_FILE" in self._suite.environ:
            self.say("the broker loses every message")
            await asyncio.to_thread(delete_messages, self._suite.environ["EMBEDDED_FILE"])
        elif PUBSUB.component in {process["name"] for process in await self._processes()}:
            await self.sagactl("restart", PUBSUB.component)
        else:
            raise NotPossibleError("the suite has not started its emulator of Pub/Sub")

    @asynccontextmanager
    async def half_rolled_out(self) -> AsyncIterator[None]:
        """Restart the first replica of each service, and after the block every one: there is one version."""
        replicas = await self._replicas()
        for first, *_ in replicas:
            await self.sagactl("restart", first)
        yield
        for service in TOPOLOGY.names:
            await self.sagactl("restart", service)

    async def _replicas(self) -> Sequence[Sequence[str]]:
        """Return the names of each service's processes. Raises NotPossibleError if one has only one."""
        names = [process["name"] for process in await self._processes()]
        found = [[name for name in names if is_process_of(service, name)] for service in TOPOLOGY.names]
        if any(len(replicas) < 2 for replicas in found):
            raise NotPossibleError("each service needs a second process: make run REPLICAS=2")
        return found

    async def _processes(self) -> Sequence[Mapping[str, Any]]:
        return await request(Path(self._suite.control), "ps", "")


async def on_suite(names: Sequence[str], perform: Callable[[Stage, str], Awaitable[None]]) -> list[str]:
    """Perform the experiments under load; return what is wrong."""
    try:
        stage = SuiteStage(Path(os.environ.get("RUN_DIR") or RUN_DIR))
    except CommandError as error:
        return [error.message]
    return await perform_under_load(stage, names, perform)
