"""Two processes of each service and of the gateway, which can be killed and frozen one by one."""

import asyncio
import itertools
import os
import signal
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import grpc
from grpc_health.v1.health_pb2 import HealthCheckRequest
from grpc_health.v1.health_pb2_grpc import HealthStub

from bench.proxy import proxied
from bench.suite import FAST_RECONNECT
from bench.usage import used
from contract.topology import TOPOLOGY
from sagactl.cli.stock import CATALOGUE, put_if_absent
from sagactl.project import GATEWAY
from sagakit.ctl.cli.provision import ensure_provisioned, provision_with_retries
from sagakit.ctl.local import programs
from sagakit.ctl.local.child import Program
from sagakit.ctl.local.emulators import FIRESTORE, PUBSUB, running
from sagakit.ctl.local.ports import LOOPBACK, free_ports, wait_until_responds
from sagakit.ctl.local.supervisor import SupervisedProcess, Supervisor
from sagakit.ctl.project import is_process_of
from sagakit.runtime import Backoff
from tests.chaos.faults import Faults
from tests.chaos.proxy import faulty
from tests.chaos.versions import CURRENT, Version

REPLICAS = 2
GRACE_SECONDS = 30.0
"""Grace period for draining; the limits of a process add up to 21 s."""
READY_SECONDS = 60.0
_PLAIN = {"LOG_FORMAT": "json", "no_proxy": LOOPBACK, "NO_PROXY": LOOPBACK}
# Kubernetes restarts a container at once the first time; a delay would only lengthen the test.
RESTART_BACKOFF = Backoff(first_seconds=0.1, cap_seconds=0.2, attempts=1 << 30)
WRONG_ENDS = ("ended (exit status", "cannot be started", "did not end within")


class Broker:
    """The Pub/Sub emulator, which loses all data when it is restarted."""

    def __init__(self, environ: Mapping[str, str], log: Path, port: int) -> None:
        self._environ = environ
        self._log = log
        self._port = port
        self._running = AsyncExitStack()

    async def start(self) -> None:
        await self._running.enter_async_context(running(PUBSUB, self._log, self._port))
        # Channels of this process may still wait before they reconnect.
        await provision_with_retries(TOPOLOGY, self._environ, 30)

    async def stop(self) -> None:
        await self._running.aclose()

    async def restart(self) -> None:
        """Lose all messages, topics and subscriptions, and create the latter two again."""
        await self.stop()
        await self.start()


class Cluster:
    """The processes and their emulators."""

    def __init__(
        self,
        processes: Supervisor,
        broker: Broker | None,
        gateways: Mapping[str, str],
        environ: Mapping[str, str],
    ) -> None:
        """`gateways`: URL by the name of the process."""
        self._processes = processes
        self._urls = gateways
        self._frozen: set[int] = set()
        self._killed: set[int] = set()
        self.broker = broker
        self.gateways = list(gateways.values())
        """URLs of the gateways that may be called."""
        self.environ = environ
        """Selects the emulators directly, without the proxies that inject faults."""

    def victims(self, service: str) -> list[SupervisedProcess]:
        """Return the running processes of the service that are neither frozen nor killed."""
        return [
            process
            for process in self.replicas(service)
            if process.status()["pid"] and process.status()["pid"] not in self._frozen | self._killed
        ]

    async def upgrade(self, version: Version) -> AsyncIterator[None]:
        """Replace every process by one of another version, one after the other; yield after each.

        A gateway is called no more before it is stopped, as behind a load balancer.
        """
        for process in self.replicas():
            async with self.stopped([process], version):
                pass
            yield

    def replicas(self, service: str = "", number: int | None = None) -> list[SupervisedProcess]:
        """Return the processes of a service, or all; of each the one with that number, or all."""
        found = self._processes.processes
        mine = [each for each in found if not service or is_process_of(service, each.program.name)]
        return [each for each in mine if number is None or each.program.name.endswith(f"-{number}")]

    @asynccontextmanager
    async def stopped(
        self, processes: Sequence[SupervisedProcess], version: Version | None = None
    ) -> AsyncIterator[None]:
        """Drain the processes; start them again after the block, of `version` if there is one."""
        await asyncio.gather(*map(self._stop, processes))
        yield
        for process in processes:
            process.program = version.of(process.program) if version else process.program
            process.start()
        await asyncio.gather(*map(self._until_ready, processes))

    async def _stop(self, process: SupervisedProcess) -> None:
        url = self._urls.get(process.program.name)
        if url is not None:
            self.gateways.remove(url)
        await process.stop(GRACE_SECONDS)

    async def _until_ready(self, process: SupervisedProcess) -> None:
        url = self._urls.get(process.program.name)
        if url is None:
            await _wait_until_serving(process.program)
        else:
            await wait_until_responds(f"{url}/readyz?all=true", READY_SECONDS)
            self.gateways.append(url)

    def memory(self) -> dict[str, float]:
        """Return the memory of each process, in MB."""
        return {
            process.program.name: used(process.status()["pid"]).megabytes
            for process in self.replicas()
            if process.status()["pid"]
        }

    def kill(self, process: SupervisedProcess) -> None:
        self._killed.add(process.status()["pid"])
        os.kill(process.status()["pid"], signal.SIGKILL)

    async def freeze(self, process: SupervisedProcess, seconds: float) -> None:
        """Stop the process for `seconds` with SIGSTOP, then continue it."""
        pid = process.status()["pid"]
        self._frozen.add(pid)
        os.kill(pid, signal.SIGSTOP)
        try:
            await asyncio.sleep(seconds)
        finally:
            os.kill(pid, signal.SIGCONT)
            self._frozen.discard(pid)


@dataclass(frozen=True, slots=True)
class Backend:
    """A backend with and without injected faults."""

    direct: Mapping[str, str]
    """Environment that selects the backend directly."""
    proxied: Mapping[str, str]
    """Environment that selects it through the proxies."""
    broker: Broker | None
    """None for the embedded backend."""


@asynccontextmanager
async def emulators(directory: Path, faults: Faults) -> AsyncIterator[Backend]:
    """Start Google's emulators, each behind a proxy."""
    broker_port, *ports = free_ports(3)
    async with AsyncExitStack() as stack:
        datastore = await stack.enter_async_context(running(FIRESTORE, directory / "firestore.log"))
        pubsub = f"{LOOPBACK}:{broker_port}"
        direct = _environ(datastore, pubsub)
        broker = Broker(direct, directory / "pubsub.log", broker_port)
        await broker.start()
        stack.push_async_callback(broker.stop)
        proxies = [
            await stack.enter_async_context(proxied(emulator, ports.pop(), faulty(faults)))
            for emulator in (datastore, pubsub)
        ]
        yield Backend(direct, _environ(*proxies), broker)


@asynccontextmanager
async def embedded(directory: Path, _: Faults) -> AsyncIterator[Backend]:
    """Create an embedded backend, without faults."""
    environ = {"BACKEND": "embedded", "EMBEDDED_FILE": str(directory / "embedded.sqlite3")}
    await ensure_provisioned(TOPOLOGY, environ)
    yield Backend(environ, environ, None)


@asynccontextmanager
async def running_cluster(
    directory: Path,
    backend: Backend,
    extra: Mapping[str, str],
    problems: list[str],
    versions: Sequence[Version] = (CURRENT,),
) -> AsyncIterator[Cluster]:
    """Start the processes, of the `versions` in turn, and wait until they are ready; drain them afterwards.

    `problems` gets a line about each process that ended without our SIGKILL, or did not stop in time.
    """

    def report(line: str) -> None:
        if any(words in line for words in WRONG_ENDS):
            problems.append(line)

    processes = Supervisor(report, GRACE_SECONDS, RESTART_BACKOFF)
    environ = {**os.environ, **backend.proxied, **extra, **_PLAIN}
    try:
        gateways = await _start(processes, environ, directory, versions)
        yield Cluster(processes, backend.broker, gateways, backend.direct)
    finally:
        await processes.stop(asyncio.Event())


def _environ(datastore: str, pubsub: str) -> dict[str, str]:
    hosts = {"DATASTORE_EMULATOR_HOST": datastore, "PUBSUB_EMULATOR_HOST": pubsub}
    return {"BACKEND": "gcp", "GOOGLE_CLOUD_PROJECT": "chaos", **hosts}


async def _start(
    processes: Supervisor, environ: Mapping[str, str], directory: Path, versions: Sequence[Version]
) -> dict[str, str]:
    """Start all processes; return the gateways' URLs by their names, once they are ready."""
    gateway_ports, ports = free_ports(REPLICAS), free_ports(len(TOPOLOGY.names) * REPLICAS)
    addresses = programs.place(ports, TOPOLOGY.names, REPLICAS)
    started = programs.service_programs(TOPOLOGY, addresses, environ, directory)
    environ = {**environ, **programs.address_environ(TOPOLOGY, addresses)}
    gateways = {}
    for number, port in enumerate(gateway_ports, start=1):
        name = f"{GATEWAY.name}-{number}"
        program = programs.gateway_program(GATEWAY, port, environ, directory)
        started.append(replace(program, name=name, log=directory / f"{name}.log"))
        gateways[name] = f"http://{LOOPBACK}:{port}"
    for program, version in zip(started, itertools.cycle(versions), strict=False):
        processes.add(version.of(program), echo=lambda _: None)
    await put_if_absent(addresses["stock"][0], CATALOGUE)
    for url in gateways.values():
        await wait_until_responds(f"{url}/readyz?all=true", READY_SECONDS)
    return gateways


async def _wait_until_serving(program: Program) -> None:
    address = f"{program.environ['HOST']}:{program.environ['PORT']}"
    async with grpc.aio.insecure_channel(address, options=FAST_RECONNECT) as channel:
        await HealthStub(channel).Check(HealthCheckRequest(), wait_for_ready=True, timeout=READY_SECONDS)
