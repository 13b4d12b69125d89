"""A suite of real processes, for measuring from outside."""

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

from contract.control import request
from sagactl.inspect.audit import problems, read_books
from sagactl.inspect.connect import open_tables
from sagactl.local.ports import LOOPBACK, free_ports
from sagactl.local.probe import wait_until_listens
from sagactl.local.runfile import Suite, read_suite

START_SECONDS = 60.0
STOP_SECONDS = 20.0
AUDIT_SECONDS = 120.0
QUICKLY_BACK = (
    ("grpc.initial_reconnect_backoff_ms", 20),
    ("grpc.min_reconnect_backoff_ms", 20),
    ("grpc.max_reconnect_backoff_ms", 20),
)
_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Use:
    """What a process has used so far."""

    cpu_seconds: float
    megabytes: float


class RunningSuite:
    """A suite that is ready."""

    def __init__(self, run_dir: Path, suite: Suite, past: Mapping[str, str]) -> None:
        """`past`: what names the emulators themselves, where the suite is led to them through a proxy."""
        self._run_dir = run_dir
        self._past = past
        self._control = Path(suite.control)
        self.gateway = suite.gateway
        self.addresses = suite.addresses
        self.environ = {name: value for name, value in suite.environ.items() if value}
        """What names its backend."""

    async def use(self) -> dict[str, Use]:
        """By program; a service's replicas each, no emulators."""
        programs = await request(self._control, "ps", "")
        return {each["name"]: used(each["pid"]) for each in programs if "emulator" not in each["name"]}

    async def restarted(self, service: str) -> float:
        """Stop and start a service of one process; the seconds from its start to its answer SERVING."""
        await request(self._control, "stop", service)
        began = time.perf_counter()
        starting = asyncio.create_task(request(self._control, "start", service))
        (address,) = self.addresses[service]
        async with grpc.aio.insecure_channel(address, options=QUICKLY_BACK) as channel:
            await HealthStub(channel).Check(HealthCheckRequest(), wait_for_ready=True, timeout=START_SECONDS)
        seconds = time.perf_counter() - began
        await starting
        return seconds

    async def audited(self) -> None:
        """Return once everything balances. Raises AssertionError where it does not."""
        found = ["not looked yet"]
        async with open_tables(self._run_dir, {**os.environ, **self.environ, **self._past}) as tables:
            deadline = asyncio.get_running_loop().time() + AUDIT_SECONDS
            while found and asyncio.get_running_loop().time() < deadline:
                found = problems(await read_books(tables))
                await asyncio.sleep(0.5 if found else 0)
        if found:
            raise AssertionError("\n".join(["the books do not balance:", *found[:20]]))


@asynccontextmanager
async def running_baseline(environ: Mapping[str, str]) -> AsyncIterator[str]:
    """Yields the URL of the textbook way."""
    (port,) = free_ports(1)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bench.baseline"), env={**os.environ, **environ, "PORT": str(port)}
    )
    try:
        await wait_until_listens(LOOPBACK, port, START_SECONDS)
        yield f"http://{LOOPBACK}:{port}"
    finally:
        process.kill()
        await process.wait()


@asynccontextmanager
async def running_suite(
    run_dir: Path, environ: Mapping[str, str], past: Mapping[str, str] = MappingProxyType({})
) -> AsyncIterator[RunningSuite]:
    """Afterwards nothing of it is left."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "sagactl", "up", "--port", "0", "--run-dir", str(run_dir), "--with-parent"),
        env={**os.environ, **environ},
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None  # noqa: S101  it was asked for
    async with asyncio.timeout(START_SECONDS):
        while not (suite := read_suite(run_dir)):
            line = await process.stdout.readline()
            if not line:
                raise RuntimeError("the suite did not start")
    reading = asyncio.create_task(_discard(process.stdout))
    try:
        yield RunningSuite(run_dir, suite, past)
    finally:
        process.send_signal(signal.SIGINT)
        async with asyncio.timeout(STOP_SECONDS):
            await process.wait()
        await reading


def used(pid: int) -> Use:
    stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    resident = Path(f"/proc/{pid}/statm").read_text().split()[1]
    cpu_seconds = (int(stat[11]) + int(stat[12])) / _TICKS_PER_SECOND
    return Use(cpu_seconds, int(resident) * os.sysconf("SC_PAGE_SIZE") / 2**20)


async def _discard(output: asyncio.StreamReader) -> None:
    while await output.read(65_536):
        pass
