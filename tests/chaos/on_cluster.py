"""The experiments of a game day on a cluster: kubectl's current one, with `sagactl load` as its customers."""

import asyncio
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager

from sagactl.project import PROJECT
from sagakit.reminders import MAX_INTERVAL_SECONDS
from tests.chaos.stage import NotPossibleError, Stage

RATE = 3.0
"""Orders a second."""
NAMESPACE = ("--namespace", "saga")
ROLLOUT_TIMEOUT = "--timeout=600s"
AUDIT_WAIT_SECONDS = 120
DRAIN_SECONDS = MAX_INTERVAL_SECONDS + 60
"""After a long fault the next reminder of an order comes this late, at most."""
FIGURES = re.compile(r"\b(accepted|not accepted|skipped|retried) (\d+)")
"""Of a line in which `sagactl load` prints its ledger."""
NODES_OF_PODS = "jsonpath={.items[*].spec.nodeName}"
NODES = r'jsonpath={range .items[*]}{.metadata.name} {.spec.taints[*].effect}{"\n"}{end}'
"""A line each: name, and the effects of its taints, which one that is cordoned or not ready has, too."""


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


class ClusterStage(Stage):
    """A cluster; the environment names its backend to sagactl, as docs/deploy.md tells."""

    def __init__(self, gateway: str) -> None:
        super().__init__({"RUN_DIR": "none"})
        self._gateway = gateway
        self._loads: list[Printed] = []

    @property
    def retried(self) -> int:
        return sum(load.figures.get("retried", 0) for load in self._loads)

    @asynccontextmanager
    async def load(self, rate: float, *options: str) -> AsyncIterator[Printed]:
        """Place orders during the block, once it is under way; whatever is lost is a problem."""
        argv = ("load", "--gateway", self._gateway, "--rate", f"{rate:g}", "--wait", "60", "--interval", "1")
        argv = (*argv, "--drain", f"{DRAIN_SECONDS:g}", *options)
        self.say(f"$ sagactl {' '.join(argv)} &")
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(sys.executable, "-m", "sagactl", *argv, stdout=pipe)
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

    async def kill(self, service: str) -> None:
        pod, *_ = (await self.kubectl(*_pods(service), "--output", "name")).split() or [f"pod/{service}"]
        await self.kubectl("delete", pod, "--grace-period=0", "--force")

    @asynccontextmanager
    async def drained_node(self) -> AsyncIterator[None]:
        node = await self._drainable()
        await self.kubectl("drain", node, "--ignore-daemonsets", "--delete-emptydir-data", ROLLOUT_TIMEOUT)
        try:
            yield
        finally:
            await self.kubectl("uncordon", node)

    async def _drainable(self) -> str:
        """Return a node with a pod of purchase. Raises NotPossibleError if all must stay."""
        listed = await self.kubectl("get", "nodes", "--output", NODES)
        nodes = {name: effects for name, *effects in map(str.split, listed.splitlines())}
        ready = {name for name, effects in nodes.items() if not {"NoSchedule", "NoExecute"} & {*effects}}
        emulators = await self._nodes("firestore", "pubsub")
        for node in sorted(await self._nodes("purchase") - emulators):
            if ready - {node}:
                return node
        if len(ready) < 2:
            raise NotPossibleError("no second node is ready: pods would wait until the first one is back")
        raise NotPossibleError("purchase runs beside an emulator, which would lose every order with its node")

    async def _nodes(self, *names: str) -> set[str]:
        """Return the nodes that have pods of these names."""
        selector = ("--selector", f"app.kubernetes.io/name in ({','.join(names)})")
        return {*(await self.kubectl("get", "pods", *selector, "--output", NODES_OF_PODS)).split()}

    async def empty_broker(self) -> None:
        await self.kubectl("delete", "pod", "--selector", "app.kubernetes.io/name=pubsub")
        await self.kubectl("rollout", "status", "deployment/pubsub", ROLLOUT_TIMEOUT)

    @asynccontextmanager
    async def half_rolled_out(self) -> AsyncIterator[None]:
        deployments = [f"deployment/{name}" for name in PROJECT.programs]
        await self.kubectl("rollout", "restart", *deployments)
        try:
            yield
        finally:
            await self.kubectl("rollout", "undo", *deployments)
            for each in deployments:
                await self.kubectl("rollout", "status", each, ROLLOUT_TIMEOUT)

    async def kubectl(self, *argv: str) -> str:
        """Run kubectl; a failure is a problem."""
        status, output = await self._run("kubectl", *NAMESPACE, *argv)
        if status:
            self.problems.append(f"kubectl {' '.join(argv)}: exit status {status}")
        return output.strip()


async def on_cluster(
    gateway: str, names: Sequence[str], perform: Callable[[Stage, str], Awaitable[None]]
) -> list[str]:
    """Perform the experiments under load; return what is wrong."""
    if not os.environ.get("GOOGLE_CLOUD_PROJECT"):
        return ["GOOGLE_CLOUD_PROJECT is not set: sagactl acts on the backend that the environment names"]
    stage = ClusterStage(gateway)
    for name in names:
        async with stage.load(RATE):
            await perform(stage, name)
        await stage.audit()
    return stage.problems


def _pods(service: str) -> tuple[str, ...]:
    return "get", "pods", "--selector", f"app.kubernetes.io/name={service}"
