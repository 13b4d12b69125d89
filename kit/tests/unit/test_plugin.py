"""The fixtures for projects on the kit: services in one process, over any backend."""

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from sagakit.consumer import Outcome
from sagakit.events import Event
from sagakit.service import Kit, Service
from sagakit.store import Changes
from sagakit.tables import Insert, Key
from sagakit.topology import ServiceDeclaration, Topology

TOPOLOGY = Topology(
    (
        ServiceDeclaration("orders", topic="orders", subscribes_to=("requests",)),
        ServiceDeclaration("mailing", subscribes_to=("orders",)),
    ),
    foreign_topics={"requests": "requests"},
)


def stores(kit: Kit, kind: str, *publishes: str) -> Service:
    """Stores what each event names, and publishes events about it."""

    async def handle(event: Event) -> Outcome:
        key = Key(kind, json.loads(event.body)["orderid"])
        events = [Event(kit.runtime.new_id(), each, event.body) for each in publishes]
        once = kit.inbox.once(
            event.eventid,
            lambda _: Changes(Outcome.APPLIED, {key: {"eventid": event.eventid}}, events),
            load=lambda _: Outcome.DUPLICATE,
        )
        return (await kit.store.transact([key], once)).result

    return Service(handlers=dict.fromkeys(("order.Requested", "order.Placed"), handle))


SERVICES = {
    "orders": lambda kit: stores(kit, "Order", "order.Placed"),
    "mailing": lambda kit: stores(kit, "Mail"),
}


def requested(orderid: str) -> Event:
    return Event(f"request-{orderid}", "order.Requested", json.dumps({"orderid": orderid}).encode())


@pytest.fixture(params=["memory", "embedded", pytest.param("gcp", marks=pytest.mark.emulators)])
def environ(request: pytest.FixtureRequest, tmp_path: Path) -> Mapping[str, str]:
    if request.param == "gcp":
        return request.getfixturevalue("emulators")
    return {"BACKEND": request.param, "EMBEDDED_FILE": str(tmp_path / "data.sqlite3")}


async def test_services_work_together_over_every_backend(saga_suite, environ: Mapping[str, str]):
    async with saga_suite(TOPOLOGY, SERVICES, environ) as suite:
        await suite.publish("requests", requested("o"))

        assert await suite.eventually(lambda: suite.entity("Mail", "o"), seconds=20)


async def test_settled_waits_for_everything_that_follows(saga_suite):
    async with saga_suite(TOPOLOGY, SERVICES) as suite:
        for number in range(20):
            await suite.publish("requests", requested(f"o{number}"))

        await suite.settled()

        assert all([await suite.entity("Mail", f"o{number}") for number in range(20)])


@pytest.mark.parametrize("ends", ["stop", "kill"])
async def test_service_that_was_ended_continues_after_a_start(saga_suite, ends: str):
    async with saga_suite(TOPOLOGY, SERVICES) as suite:
        await getattr(suite, ends)("mailing")
        await suite.publish("requests", requested("o"))
        await suite.eventually(lambda: suite.entity("Order", "o"))
        assert await suite.entity("Mail", "o") is None

        suite.start("mailing")

        assert await suite.eventually(lambda: suite.entity("Mail", "o"))


async def test_memory_backend_is_shared_by_its_connections(memory_backend):
    await memory_backend.provision(TOPOLOGY)
    here, there = memory_backend.connect(), memory_backend.connect()

    await here.tables.commit([Insert(Key("Thing", "a"), {"n": 1})])

    assert (await there.tables.lookup([Key("Thing", "a")]))[Key("Thing", "a")].entity == {"n": 1}
    assert await there.bus.subscription_problem("orders-service.requests") is None


def test_plugin_loads_no_emulators_unless_they_are_used():
    code = (
        "import sys, sagakit.testing.plugin;"
        "assert 'anyio' not in sys.modules;"
        "assert 'sagakit.ctl.local.emulators' not in sys.modules"
    )

    subprocess.run((sys.executable, "-c", code), check=True)
