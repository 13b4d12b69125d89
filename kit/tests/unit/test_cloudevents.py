"""CloudEvents: what a service publishes, if wanted, and what it accepts in any case."""

import json
import uuid
from contextlib import asynccontextmanager

import pytest

from sagakit.backends import Backend
from sagakit.bus import Message
from sagakit.cloudevents import DEFAULT_CONTENT_TYPE
from sagakit.consumer import Outcome
from sagakit.dead_letters import reduced
from sagakit.errors import Poison
from sagakit.events import Event, eventid_of, published_at
from sagakit.messaging import Messaging
from sagakit.service import Kit, Service
from sagakit.settings import ServiceSettings
from sagakit.tables import Key
from sagakit.testing.clock import Clock
from sagakit.testing.tables import MemoryTables
from tests.support.counter import COUNTER, ENVIRON, OUTBOX, counting, once
from tests.support.harness import ConsumerHarness, background
from tests.support.manual_bus import ManualBus

ID = "0f8fad5b-d9cb-469f-a165-70867728950e"
THEIRS = {
    "ce-specversion": "1.0",
    "ce-id": ID,
    "ce-source": "//parcels.example.com/depot",
    "ce-type": "thing",
    "ce-time": "2020-03-10T03:56:24Z",
    "content-type": "application/json; charset=utf-8",
}
TIMED = Event("e1", "parcel.Sent", b"{}", {"time": "2020-03-10T03:56:24.000Z", "again": "true"})


def a_cloud_event(**attributes: str) -> Event:
    named = {f"ce-{name}": value for name, value in attributes.items()}
    return Event.from_message(Message(b"{}", THEIRS | named))


@asynccontextmanager
async def a_service(bus: ManualBus, tables: MemoryTables, environ: dict[str, str]):
    """A service that publishes the events which it is given; yields how."""
    kits: list[Kit] = []

    def build(kit: Kit) -> Service:
        kits.append(kit)
        return Service([], [], {})

    clock = Clock()
    settings = ServiceSettings.from_environ({**ENVIRON, **environ})
    messaging = Messaging("counter", settings, Backend(tables, bus), clock.runtime(), build)

    async def publish(event: Event) -> dict:
        await kits[0].store.transact([COUNTER], once(event.eventid, counting(events=[event])))
        row = Key(OUTBOX, event.eventid)
        stored = (await tables.lookup([row]))[row].entity
        await clock.advance(1)
        return stored

    async with background(messaging.run()):
        yield publish


async def test_published_event_is_a_cloud_event_if_wanted():
    bus, tables = ManualBus(), MemoryTables()
    async with a_service(bus, tables, {"EVENT_CLOUDEVENTS": "true"}) as publish:
        stored = await publish(TIMED)

    (message,) = bus.messages
    assert message.attributes == {
        "eventid": "e1",
        "type": "parcel.Sent",
        "time": "2020-03-10T03:56:24.000Z",
        "again": "true",
        "ce-specversion": "1.0",
        "ce-id": "e1",
        "ce-source": f"/{ENVIRON['EVENT_PUBLISH_TOPIC']}",
        "ce-type": "parcel.Sent",
        "ce-time": "2020-03-10T03:56:24.000Z",
        "content-type": DEFAULT_CONTENT_TYPE,
    }
    assert stored["attributes"] == TIMED.attributes, "an outbox row has what earlier versions read"


async def test_published_event_has_only_our_attributes_by_default():
    bus = ManualBus()
    async with a_service(bus, MemoryTables(), {}) as publish:
        await publish(TIMED)

    assert [message.attributes.keys() for message in bus.messages] == [{"eventid", "type", "time", "again"}]


def test_event_of_another_encoding_keeps_its_content_type():
    event = Event("e1", "parcel.Sent", b"\x08\x01", {"content-type": "application/protobuf"})

    message = event.to_message(cloudevents_topic="parcels")

    assert message.attributes["content-type"] == "application/protobuf"


def test_source_is_a_uri_reference_for_every_name_of_a_topic():
    message = TIMED.to_message(cloudevents_topic="a%b+c~d")

    assert message.attributes["ce-source"] == "/a%25b%2Bc~d"


def test_event_of_ours_is_the_same_with_cloudevents_attributes():
    event = Event.from_message(TIMED.to_message(cloudevents_topic="parcels"))

    assert (event.eventid, event.type, event.body) == ("e1", "parcel.Sent", b"{}")
    assert event.attributes.items() >= TIMED.attributes.items()


def test_event_of_others_needs_no_attribute_of_ours():
    event = a_cloud_event()

    assert (event.eventid, event.type, event.body) == (ID, "thing", b"{}")
    assert event.attributes["time"] == THEIRS["ce-time"]
    assert published_at(THEIRS) == 1_583_812_584
    assert event.attributes["ce-source"] == THEIRS["ce-source"], "a handler may read what is only theirs"


def test_our_attributes_count_before_theirs():
    both = Message(b"", {**THEIRS, "eventid": "e1", "type": "ours", "time": "2021-01-01T00:00:00Z"})

    event = Event.from_message(both)

    assert (event.eventid, event.type, event.attributes["time"]) == ("e1", "ours", "2021-01-01T00:00:00Z")


def test_ids_of_different_sources_are_different_events():
    """CloudEvents promises that source and id are unique together; an inbox knows ids only."""
    first, again = a_cloud_event(id="17"), a_cloud_event(id="17")
    other = a_cloud_event(id="17", source="//parcels.example.com/harbour")

    assert first.eventid == again.eventid
    assert first.eventid != other.eventid
    assert str(uuid.UUID(first.eventid)) == first.eventid
    assert a_cloud_event(source="//parcels.example.com/harbour").eventid == ID, "a UUID needs none"


@pytest.mark.parametrize("id", ["x" * 5_000, "a\nb", "é", f"{{{ID}}}"])
def test_every_id_of_others_can_be_stored(id: str):
    assert len(a_cloud_event(id=id).eventid) == 36


@pytest.mark.parametrize(
    ("attributes", "reason"),
    [
        ({"ce-id": ""}, "no-eventid"),
        ({"content-type": "application/cloudevents+json; charset=UTF-8"}, "structured-cloudevent"),
        ({"content-type": "Application/CloudEvents+JSON", "ce-id": ID}, "structured-cloudevent"),
    ],
)
def test_cloud_event_that_cannot_be_read_is_poison(attributes, reason):
    message = Message(json.dumps({"id": ID, "specversion": "1.0"}).encode(), attributes)

    with pytest.raises(Poison) as poison:
        Event.from_message(message)

    assert poison.value.reason == reason
    assert eventid_of(message) == ""


async def test_consumer_gives_a_redelivered_cloud_event_the_same_id():
    harness = ConsumerHarness()
    async with harness.running():
        deliveries = [await harness.deliver(Message(b"{}", THEIRS)) for _ in range(2)]

    assert [delivery.settled for delivery in deliveries] == [["ack"], ["ack"]]
    assert [event.eventid for event in harness.handled] == [ID, ID]


async def test_dead_letter_of_a_cloud_event_can_be_traced_to_it():
    async def fail(event: Event) -> Outcome:
        raise Poison("unknown-parcel")

    harness = ConsumerHarness()
    harness.handle = fail
    async with harness.running():
        await harness.deliver(Message(b"{}", THEIRS))

    (letter,) = harness.bus.messages
    assert letter.attributes.items() >= THEIRS.items()
    assert eventid_of(letter) == eventid_of(reduced(letter)) == ID
    identity = {"ce-id", "ce-source", "ce-type"}
    assert identity <= reduced(letter).attributes.keys()
