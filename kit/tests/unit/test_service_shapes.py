"""Services that only publish, that only subscribe, or that do neither, and have no gRPC services."""

import asyncio
import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from sagakit.backends import Backend, open_backend, open_provisioner
from sagakit.consumer import Outcome
from sagakit.ctl.local.ports import free_ports
from sagakit.events import Event
from sagakit.messaging import Messaging
from sagakit.runtime import Runtime
from sagakit.service import Service, ServiceFactory
from sagakit.settings import BackendSettings, ServiceSettings, SettingsError
from sagakit.store import Changes, NoTopicError
from sagakit.tables import Key
from sagakit.testing.clock import Clock
from sagakit.testing.tables import MemoryTables
from tests.support.brokers import process_of
from tests.support.counter import counting, entities
from tests.support.eventually import eventually
from tests.support.manual_bus import ManualBus
from tests.support.shapes import HERMIT, TALLY, TOPOLOGY

BARE = {"BACKEND": "embedded", "EMBEDDED_FILE": "none", "PORT": "0"}


@pytest.fixture
async def environ(tmp_path: Path) -> Mapping[str, str]:
    """An embedded backend with the topics and subscriptions of the three services."""
    environ = {"BACKEND": "embedded", "EMBEDDED_FILE": str(tmp_path / "shapes.sqlite3")}
    async with open_provisioner(environ) as provisioner:
        for topic in TOPOLOGY.all_topics():
            await provisioner.ensure_topic(topic)
        for spec in TOPOLOGY.subscription_specs():
            await provisioner.ensure_subscription(spec)
    return environ


@pytest.fixture
async def backend(environ: Mapping[str, str]) -> AsyncIterator[Backend]:
    async with open_backend(BackendSettings.from_environ(environ), Runtime()) as backend:
        yield backend


async def test_a_service_of_any_shape_runs_as_a_process(environ: Mapping[str, str], backend: Backend):
    """Each works, is ready by its health service, and drains with exit code 0 on SIGTERM."""
    ports = dict(zip(TOPOLOGY.names, free_ports(len(TOPOLOGY.names)), strict=True))
    async with AsyncExitStack() as stack:
        processes = [
            await stack.enter_async_context(
                process_of(
                    "tests.support.shapes",
                    name,
                    environ={**environ, **TOPOLOGY.environ(name), "PORT": str(port)},
                )
            )
            for name, port in ports.items()
        ]

        await eventually(lambda: entities(backend.tables, HERMIT), 30)
        tally = await eventually(lambda: entities(backend.tables, TALLY), 30)
        assert tally[TALLY]["n"] >= 1
        for port in ports.values():
            await eventually(lambda port=port: is_serving(port), 30)
        for process in processes:
            process.send_signal(signal.SIGTERM)

        assert await asyncio.gather(*(process.wait() for process in processes)) == [0, 0, 0]


async def is_serving(port: int) -> bool:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        check = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=5)
        return (await check).status == health_pb2.HealthCheckResponse.SERVING


def messaging(environ: Mapping[str, str], build: ServiceFactory) -> Messaging:
    settings = ServiceSettings.from_environ({**BARE, **environ})
    return Messaging("one", settings, Backend(MemoryTables(), ManualBus()), Clock().runtime(), build)


async def ignored(event: Event) -> Outcome:
    return Outcome.IGNORED


@pytest.mark.parametrize(
    ("service", "missing"),
    [
        (Service(handlers={"thing": ignored}), "EVENT_SUBSCRIBE_TOPICS is not set: it handles events"),
        (Service(publishes=["thing"]), "EVENT_PUBLISH_TOPIC is not set: it publishes events"),
    ],
)
def test_a_topic_that_the_service_needs_is_required(service: Service, missing: str):
    with pytest.raises(SettingsError) as raised:
        messaging({}, lambda _: service)

    assert str(raised.value) == missing


def test_dead_letter_topic_is_required_with_topics_to_subscribe_to():
    with pytest.raises(SettingsError, match="EVENT_DEAD_LETTER_TOPIC is not set"):
        ServiceSettings.from_environ({**BARE, "EVENT_SUBSCRIBE_TOPICS": "things"})


async def test_transaction_with_events_of_a_service_without_a_topic_commits_nothing():
    kits = []

    def build(kit) -> Service:
        kits.append(kit)
        return Service()

    messaging({}, build)
    (kit,), key = kits, Key("Counter", "a")

    with pytest.raises(NoTopicError, match="EVENT_PUBLISH_TOPIC is not set"):
        await kit.store.transact([key], counting(key, events=[Event("e1", "thing", b"")]))

    assert await entities(kit.tables, key) == {}
    assert (await kit.store.transact([key], lambda _: Changes(1, {key: {"n": 1}}))).result == 1
