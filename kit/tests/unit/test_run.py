"""A service's process: ready once events reach it, and drained however it ends."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from structlog.testing import capture_logs

from sagakit.application import DEFAULT_APPLICATION
from sagakit.backends import Backend
from sagakit.bus import Delivery
from sagakit.errors import Unavailable
from sagakit.pauses import PAUSED, save_paused
from sagakit.run import LOST_AFTER_SECONDS, SUBSCRIPTION_CHECK_INTERVAL_SECONDS, Process, SubscriptionCheck
from sagakit.runtime import Runtime
from sagakit.service import Kit, Service
from sagakit.settings import ServiceSettings, SettingsError
from sagakit.tables import Insert
from sagakit.testing.clock import Clock
from sagakit.testing.tables import MemoryTables
from tests.support.counter import ENVIRON
from tests.support.eventually import eventually
from tests.support.grpcserver import registering
from tests.support.manual_bus import ManualBus, ManualPull

SERVICE = "test.Slow"
NAMES = ["one-service.things", "one-service.others"]
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
PRODUCTION = {
    "ENVIRONMENT": "production",
    "AUTH_ISSUER": "https://issuer.example",
    "AUTH_AUDIENCE": "saga",
}


class BrokenBus(ManualBus):
    """A bus with a defect: once it is set, every new pull raises it."""

    defect: Exception | None = None

    def subscribe(self, name: str, receive: Callable[[Delivery], None], max_outstanding: int) -> ManualPull:
        if self.defect is not None:
            raise self.defect
        return super().subscribe(name, receive, max_outstanding)


@dataclass
class RunningProcess:
    """A process that serves one slow call."""

    bus: BrokenBus = field(default_factory=BrokenBus)
    tables: MemoryTables = field(default_factory=MemoryTables)
    environ: Mapping[str, str] = field(default_factory=dict)
    proceed: asyncio.Event = field(default_factory=asyncio.Event)
    called: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        settings = ServiceSettings.from_environ({**ENVIRON, **self.environ})
        backend = Backend(self.tables, self.bus)
        self.process = Process("one", settings, backend, Runtime(), self._build, DEFAULT_APPLICATION)
        self.stop = asyncio.Event()

    def _build(self, kit: Kit) -> Service:
        async def slow(request: bytes, context: object) -> bytes:
            self.called.set()
            await self.proceed.wait()
            return b"done"

        return Service([registering(SERVICE, {"Do": slow})], [SERVICE])

    @asynccontextmanager
    async def running(self) -> AsyncIterator[asyncio.Task[None]]:
        task = asyncio.create_task(self.process.run(self.stop))
        await eventually(lambda: self.process.server.port)
        self.channel = grpc.aio.insecure_channel(f"127.0.0.1:{self.process.server.port}")
        try:
            yield task
        finally:
            self.proceed.set()
            self.stop.set()
            await asyncio.gather(task, return_exceptions=True)
            await self.channel.close()

    async def health(self, name: str = "") -> int:
        request = health_pb2.HealthCheckRequest(service=name)
        stub = health_pb2_grpc.HealthStub(self.channel)
        return (await stub.Check(request, timeout=5, wait_for_ready=True)).status

    def is_pulling(self) -> bool:
        pulls = self.bus.pulls.get("one-service.things")
        return bool(pulls) and not pulls[-1].closed

    def reports(self, name: str, status: int) -> Callable[[], Awaitable[bool]]:
        async def reported() -> bool:
            return await self.health(name) == status

        return reported


def paused(logs: Sequence[Mapping[str, Any]]) -> bool:
    return any(line.get("error") == "paused on purpose" for line in logs)


async def test_process_is_alive_and_not_ready_until_the_broker_is_there():
    running = RunningProcess()
    running.bus.unavailable = True
    with capture_logs() as logs:
        async with running.running():
            await eventually(running.reports("", SERVING))
            assert await running.health(SERVICE) == NOT_SERVING
            reasons = [line["reason"] for line in logs if line["event"] == "not ready"]
            assert reasons == ["the broker is unavailable: the broker is unavailable"]

            running.bus.unavailable = False

            await eventually(running.reports(SERVICE, SERVING))
            assert [line["event"] for line in logs].count("ready") == 1


async def test_failed_part_is_drained_like_a_stop_and_raised():
    """Known mistake: a full disk looks like a failed start, and calls in flight are cut off."""
    running = RunningProcess()
    full = OSError(28, "No space left on device")
    with capture_logs() as logs:
        async with running.running() as task:
            await eventually(running.reports("", SERVING))
            call = asyncio.ensure_future(running.channel.unary_unary(f"/{SERVICE}/Do")(b"", timeout=30))
            await running.called.wait()
            running.bus.defect = full
            for (pull,) in running.bus.pulls.values():
                pull.end(Unavailable("the stream ended"))

            await eventually(lambda: [line for line in logs if line["event"] == "draining after a failure"])
            running.proceed.set()

            assert await call == b"done"
            with pytest.raises(ExceptionGroup) as raised:
                await task

    assert raised.value.exceptions == (full,)
    [error] = [line["error"] for line in logs if line["event"] == "draining after a failure"]
    assert "No space left on device" in error
    assert logs[-1]["event"] == "stopped"


@pytest.mark.parametrize(
    ("environ", "pauses"), [({}, True), (PRODUCTION, False), ({**PRODUCTION, "FAULTS_ALLOWED": "true"}, True)]
)
async def test_service_is_paused_on_purpose_in_production_only_if_that_is_allowed(environ, pauses):
    running = RunningProcess(environ=environ)
    await save_paused(running.tables, ["another", "one"])
    with capture_logs() as logs:
        async with running.running():
            await eventually(running.reports("", SERVING))
            await eventually(lambda: not pauses or paused(logs))
            await save_paused(running.tables, ["another"])
            await eventually(running.is_pulling, seconds=20)

    assert paused(logs) is pauses


async def test_unreadable_list_of_paused_services_pauses_none():
    running = RunningProcess()
    await running.tables.commit([Insert(PAUSED, {"services": "one"})])
    with capture_logs() as logs:
        async with running.running() as task:
            await eventually(running.reports("", SERVING))
            await eventually(running.is_pulling)

            assert not task.done()

    assert not paused(logs)


async def test_port_in_use_is_a_failed_start():
    running = RunningProcess()
    async with running.running():
        settings = ServiceSettings.from_environ({**ENVIRON, "PORT": str(running.process.server.port)})
        backend = Backend(MemoryTables(), ManualBus())
        other = Process("two", settings, backend, Runtime(), running._build, DEFAULT_APPLICATION)

        with pytest.raises(SettingsError, match="PORT cannot be used"):
            await other.run(asyncio.Event())


@dataclass
class Checked:
    """A check of two subscriptions."""

    bus: ManualBus = field(default_factory=ManualBus)
    clock: Clock = field(default_factory=Clock)

    def __post_init__(self) -> None:
        self.check = SubscriptionCheck(self.bus, NAMES, self.clock.runtime())

    async def after(self, seconds: float) -> str | None:
        """The problem when that time has passed."""
        await self.clock.advance(seconds)
        await self.check.check()
        return self.check.problem


async def test_lost_subscription_counts_only_if_it_stays_lost():
    """An emulator that restarts has lost it until it is provisioned again, within seconds."""
    checked = Checked()
    assert await checked.after(0) is None

    checked.bus.problem = "its topic was deleted"
    assert await checked.after(0) is None
    assert await checked.after(LOST_AFTER_SECONDS - 1) is None
    checked.bus.problem = None
    assert await checked.after(1) is None
    checked.bus.problem = "its topic was deleted"
    assert await checked.after(1) is None
    assert await checked.after(LOST_AFTER_SECONDS) == "its topic was deleted"

    checked.bus.problem = None
    assert await checked.after(1) is None


async def test_subscription_that_never_was_good_counts_at_once():
    checked = Checked()
    checked.bus.problem = "it does not exist"

    assert await checked.after(0) == "it does not exist"
    assert checked.check.interval_seconds < SUBSCRIPTION_CHECK_INTERVAL_SECONDS


async def test_broker_that_is_unavailable_later_does_not_count():
    """Events to publish wait in the outbox meanwhile."""
    checked = Checked()
    assert await checked.after(0) is None
    checked.bus.unavailable = True

    assert await checked.after(10 * LOST_AFTER_SECONDS) is None
