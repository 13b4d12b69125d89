"""Every implementation of `Provisioner` keeps its promises."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest

from sagakit.backends import open_broker, open_provisioner
from sagakit.backends.gcp.filters import filter_of
from sagakit.backends.gcp.provision import PubsubProvisioner, open_pubsub_provisioner
from sagakit.bus import SubscriptionSpec
from sagakit.errors import Unchangeable
from sagakit.ignored import Ignored
from sagakit.runtime import Runtime
from sagakit.settings import BackendSettings
from sagakit.testing.contracts import ProvisionerContract
from sagakit.testing.contracts.brokers import Listener, a_message
from tests.support.brokers import Broker

TOPIC, OTHER_TOPIC, DEAD = "things", "others", "dead-letter"


ONE = "one-service.things"


SPEC = SubscriptionSpec(ONE, TOPIC, DEAD, 5, 0.2, 1.0, 10)


async def provision(broker: Broker, spec: SubscriptionSpec = SPEC) -> str:
    async with broker.provisioner() as provisioner:
        for topic in (TOPIC, OTHER_TOPIC, DEAD):
            await provisioner.ensure_topic(topic)
        return await provisioner.ensure_subscription(spec)


def changed(**settings: Any) -> SubscriptionSpec:
    return SubscriptionSpec(**{name: getattr(SPEC, name) for name in SPEC.__slots__} | settings)


async def test_labels_that_others_added_are_kept():
    clients: Any = None
    provisioner = PubsubProvisioner(clients, clients, "project", ("labels",))
    existing = provisioner._subscription(SPEC)
    existing.labels["team"] = "shop"

    assert await provisioner._update(existing, provisioner._subscription(SPEC)) == ""


class Updates:
    """A subscriber client that records updates."""

    def __init__(self) -> None:
        self.requests: list[Any] = []

    async def update_subscription(self, request: Any, **_: Any) -> None:
        self.requests.append(request)


async def test_dead_letters_are_kept_for_as_long_as_pubsub_allows_also_by_an_existing_subscription():
    clients: Any = Updates()
    provisioner = PubsubProvisioner(clients, clients, "project", ("message_retention_duration",))
    dead = SubscriptionSpec("dead-letters", DEAD, None)
    wanted, existing = provisioner._subscription(dead), provisioner._subscription(dead)
    existing.message_retention_duration = timedelta(days=7)

    changed = await provisioner._update(existing, wanted)

    assert changed == "updated message_retention_duration"
    (request,) = clients.requests
    assert request.subscription.message_retention_duration == timedelta(days=31)
    assert provisioner._subscription(SPEC).message_retention_duration == timedelta(days=7)


@pytest.mark.emulators
@pytest.mark.parametrize("form", ["{}", "http://{}", "http://{}/", " {} ", "0.0.0.0:{port}"])
async def test_emulator_is_reached_by_its_host_in_every_form(
    pubsub_emulator: str, project: str, form: str, monkeypatch: pytest.MonkeyPatch
):
    host = form.format(pubsub_emulator, port=pubsub_emulator.rpartition(":")[2])
    # In the process's own environment too: Google's client reads it.
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", host)
    environ = {"GOOGLE_CLOUD_PROJECT": project, "PUBSUB_EMULATOR_HOST": host}
    async with open_provisioner(environ) as provisioner:
        await provisioner.ensure_topic(TOPIC)
        await provisioner.ensure_subscription(SubscriptionSpec(ONE, TOPIC, None))
    listener = Listener()

    async with open_broker(BackendSettings.from_environ(environ), Runtime()) as broker:
        broker.bus.subscribe(ONE, listener, 10)
        await broker.bus.publish(TOPIC, [a_message()])

        assert await listener.has(1) == ["hello"]


def ignoring(*values: str, of: str = "parcel.Moved") -> SubscriptionSpec:
    return changed(ignored=Ignored(of, "status", frozenset(values)))


@asynccontextmanager
async def filtering(project: str, emulator: str) -> AsyncIterator[PubsubProvisioner]:
    """A provisioner as on Google Cloud: the emulator stores filters, and ignores them."""
    async with open_pubsub_provisioner(project, emulator) as provisioner:
        provisioner.filters = True
        for topic in (TOPIC, DEAD):
            await provisioner.ensure_topic(topic)
        yield provisioner


@pytest.mark.emulators
@pytest.mark.parametrize(
    ("before", "now"),
    [
        (SPEC, ignoring("sorted")),
        (ignoring("sorted"), ignoring("sorted")),
        (ignoring("sorted"), ignoring("sorted", "weighed")),
    ],
    ids=["no filter", "the same", "one that withholds less"],
)
async def test_filter_that_delivers_what_is_needed_is_kept(
    pubsub_emulator: str, project: str, before: SubscriptionSpec, now: SubscriptionSpec
):
    """It cannot be changed, and a subscription that is remade loses its messages and permissions."""
    async with filtering(project, pubsub_emulator) as provisioner:
        await provisioner.ensure_subscription(before)

        assert await provisioner.ensure_subscription(now) == ""
        (found,) = [each async for each in provisioner.listed(ONE)]
        assert found.filter == (filter_of(before.ignored) if before.ignored else "")


@pytest.mark.emulators
@pytest.mark.parametrize(
    "now",
    [ignoring("sorted"), ignoring("loaded"), ignoring("sorted", "weighed", of="parcel.Lost"), SPEC],
    ids=["a reaction more", "others", "of another type", "none any more"],
)
async def test_filter_that_withholds_what_is_needed_is_an_error_until_it_is_deleted(
    pubsub_emulator: str, project: str, now: SubscriptionSpec
):
    async with filtering(project, pubsub_emulator) as provisioner:
        await provisioner.ensure_subscription(ignoring("sorted", "weighed"))

        with pytest.raises(Unchangeable, match=f"{ONE} withholds messages .* attributes.status != "):
            await provisioner.ensure_subscription(now)
        await provisioner.remove_subscription(ONE)
        assert await provisioner.ensure_subscription(now) == ""
        assert await provisioner.ensure_subscription(now) == ""


@pytest.mark.emulators
async def test_emulators_get_no_filters(pubsub_emulator: str, project: str):
    async with open_pubsub_provisioner(project, pubsub_emulator) as provisioner:
        for topic in (TOPIC, DEAD):
            await provisioner.ensure_topic(topic)
        for spec in (ignoring("sorted"), ignoring("weighed")):
            assert await provisioner.ensure_subscription(spec) == ""


class TestProvisioner(ProvisionerContract):
    pass
