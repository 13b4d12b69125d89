"""Suites of real processes, measured from outside."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import grpc
from grpc_health.v1.health_pb2 import HealthCheckRequest
from grpc_health.v1.health_pb2_grpc import HealthStub

from bench.usage import Usage, emulators_cpu_seconds, used
from sagactl.dashboard.queue_depth import Backlog, load_backlog
from sagakit.ctl.inspect.connect import open_tables
from sagakit.ctl.local.control_client import request
from sagakit.ctl.local.ports import LOOPBACK, free_ports, wait_until_listens
from sagakit.tables import Tables
from tests.support import local_suite
from tests.support.audit import record_problems
from tests.support.local_suite import LocalSuite

START_TIMEOUT_SECONDS = 60.0
AUDIT_TIMEOUT_SECONDS = 120.0
POLL_INTERVAL_SECONDS = 0.25
FAST_RECONNECT = (
    ("grpc.initial_reconnect_backoff_ms", 20),
    ("grpc.min_reconnect_backoff_ms", 20),
    ("grpc.max_reconnect_backoff_ms", 20),
)


@dataclass(frozen=True, slots=True)
class Queued:
    """Entries of the suite's queues; those beyond the first 500 of a kind are not counted."""

    tickets: int = 0
    """Tickets that await a reply, approved ones among them until their delivery is arranged."""
    outboxes: int = 0
    """Unpublished events."""


def queued(backlog: Backlog) -> Queued:
    return Queued(*(sum(each.count for each in by.values()) for by in (backlog.tickets, backlog.outboxes)))


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

    async def usage(self) -> Usage:
        programs = await request(self._control, "ps", "")
        processes = {each["name"]: used(each["pid"]) for each in programs if "emulator" not in each["name"]}
        return Usage(processes, emulators_cpu_seconds())

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

    async def backlog(self) -> Queued:
        """Return the entries of the suite's queues."""
        async with self.tables() as tables:
            return queued(await load_backlog(tables, time.time()))

    async def settled(self, timeout_seconds: float) -> None:
        """Wait until the suite's queues are empty, or the timeout has passed."""
        loop, empty = asyncio.get_running_loop(), False
        async with self.tables() as tables:
            deadline = loop.time() + timeout_seconds
            while not empty and loop.time() < deadline:
                empty = queued(await load_backlog(tables, time.time())) == Queued()
                await asyncio.sleep(0 if empty else POLL_INTERVAL_SECONDS)

    async def audited(self) -> None:
        """Wait until everything balances. Raises AssertionError if it does not in time."""
        found = ["not checked yet"]
        async with self.tables() as tables:
            deadline = asyncio.get_running_loop().time() + AUDIT_TIMEOUT_SECONDS
            while found and asyncio.get_running_loop().time() < deadline:
                found = await record_problems(tables)
                await asyncio.sleep(0.5 if found else 0)
        if found:
            raise AssertionError("\n".join(["the suite does not balance:", *found[:20]]))

    def tables(self) -> AbstractAsyncContextManager[Tables]:
        """Open the suite's tables."""
        return open_tables(Path(), {**os.environ, **self.environ, **self._direct})


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
