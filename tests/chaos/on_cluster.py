"""The experiments of a game day on a cluster: kubectl's current one."""

import os
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

from sagactl.project import PROJECT
from tests.chaos.running import RunningStage, perform_under_load
from tests.chaos.stage import NotPossibleError, Stage

NAMESPACE = ("--namespace", "saga")
ROLLOUT_TIMEOUT = "--timeout=600s"
NODES_OF_PODS = "jsonpath={.items[*].spec.nodeName}"
NODES = r'jsonpath={range .items[*]}{.metadata.name} {.spec.taints[*].effect}{"\n"}{end}'
"""A line each: name, and the effects of its taints, which one that is cordoned or not ready has, too."""


class ClusterStage(RunningStage):
    """A cluster; the environment names its backend to sagactl, as docs/deploy.md tells."""

    def __init__(self, gateway: str) -> None:
        super().__init__({"RUN_DIR": "none"}, "--gateway", gateway)

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
    return await perform_under_load(ClusterStage(gateway), names, perform)


def _pods(service: str) -> tuple[str, ...]:
    return "get", "pods", "--selector", f"app.kubernetes.io/name={service}"
