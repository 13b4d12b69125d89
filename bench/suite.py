"""Suites of real processes, measured from outside."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import grpc
from grpc_health.v1.health_pb2 import HealthCheckRequest
from grpc_health.v1.health_pb2_grpc import HealthStub

from sagactl.inspect.audit import problems
from sagactl.inspect.records import load_records
from sagakit.ctl.inspect.connect import open_tables
from sagakit.ctl.local.control_client import request
from sagakit.ctl.local.ports import LOOPBACK, free_ports, wait_until_listens
from tests.support import local_suite
from tests.support.local_suite import LocalSuite

START_TIMEOUT_SECONDS = 60.0
AUDIT_TIMEOUT_SECONDS = 120.0
FAST_RECONNECT = (
    ("grpc.initial_reconnect_backoff_ms", 20),
    ("grpc.min_reconnect_backoff_ms", 20),
    ("grpc.max_reconnect_backoff_ms", 20),
)
_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Use:
    """Resources that a process has used so far."""

    cpu_seconds: float
    megabytes: float


class RunningSuite:
    """A suite that is ready."""

    def __init__(self, local: LocalSuite, direct: Mapping[str, str]) -> None:
        """`direct`: names the emulators themselves, if the suite reaches them through a proxy."""
        facts = local.facts
        self._direct = direct
        self._control = Path(facts["control"])
        self.gateway: str = facts["gateway"]
        self.addresses: dict[str, list[str]] = facts["addresses"]
        self.environ = {name: value for name, value in facts["environ"].items() if value}
        """Selects its backend."""

    async def use(self) -> dict[str, Use]:
        """Return the resources used by each process except the emulators."""
        programs = await request(self._control, "ps", "")
        return {each["name"]: used(each["pid"]) for each in programs if "emulator" not in each["name"]}

    async def restarted(self, service: str) -> float:
        """Restart a service of one process; return the seconds from its start until it is SERVING."""
        await request(self._control, "stop", service)
        started_at = time.perf_counter()
        starting = asyncio.create_task(request(self._control, "start", service))
        (address,) = self.addresses[service]
        async with grpc.aio.insecure_channel(address, options=FAST_RECONNECT) as channel:
            await HealthStub(channel).Check(
                HealthCheckRequest(), wait_for_ready=True, timeout=START_TIMEOUT_SECONDS
            )
        seconds = time.perf_counter() - started_at
        await starting
        return seconds

    async def audited(self) -> None:
        """Wait until everything balances. Raises AssertionError if it does not in time."""
        found = ["not checked yet"]
        async with open_tables(Path(), {**os.environ, **self.environ, **self._direct}) as tables:
            deadline = asyncio.get_running_loop().time() + AUDIT_TIMEOUT_SECONDS
            while found and asyncio.get_running_loop().time() < deadline:
                found = problems(await load_records(tables))
                await asyncio.sleep(0.5 if found else 0)
        if found:
            raise AssertionError("\n".join(["the suite does not balance:", *found[:20]]))


@asynccontextmanager
async def running_baseline(environ: Mapping[str, str]) -> AsyncIterator[str]:
    """Start the textbook implementation and yield its URL."""
    (port,) = free_ports(1)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bench.baseline"), env={**os.environ, **environ, "PORT": str(port)}
    )
    try:
        await wait_until_listens(LOOPBACK, port, START_TIMEOUT_SECONDS)
        yield f"http://{LOOPBACK}:{port}"
    finally:
        process.kill()
        await process.wait()


@asynccontextmanager
async def running_suite(
    directory: Path, environ: Mapping[str, str], direct: Mapping[str, str] = MappingProxyType({})
) -> AsyncIterator[RunningSuite]:
    """Start a suite; afterwards none of its processes is left."""
    with local_suite.suite(directory, "--die-with-parent", environ=environ) as local:
        # In threads: this loop may serve the proxies between the suite and its emulators.
        await asyncio.to_thread(local.until_ready)
        try:
            yield RunningSuite(local, direct)
        finally:
            await asyncio.to_thread(local.end, signal.SIGINT)


def used(pid: int) -> Use:
    stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    resident = Path(f"/proc/{pid}/statm").read_text().split()[1]
    cpu_seconds = (int(stat[11]) + int(stat[12])) / _TICKS_PER_SECOND
    return Use(cpu_seconds, int(resident) * os.sysconf("SC_PAGE_SIZE") / 2**20)
