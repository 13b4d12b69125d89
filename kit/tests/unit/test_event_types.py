"""Event types: bodies encoded and decoded, and what is malformed named by type and field."""

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest
from google.protobuf.wrappers_pb2 import StringValue
from pydantic import BaseModel

from sagakit.backends import Backend
from sagakit.codec import Stored
from sagakit.consumer import Outcome
from sagakit.errors import Poison
from sagakit.event_types import VERSION_ATTRIBUTE, BodyCodec, EventType, by_name
from sagakit.events import Event
from sagakit.messaging import Messaging
from sagakit.service import Kit, Service
from sagakit.settings import ServiceSettings
from sagakit.testing.clock import Clock
from sagakit.testing.tables import MemoryTables
from tests.support.counter import ENVIRON
from tests.support.harness import background
from tests.support.manual_bus import ManualBus


@dataclass(frozen=True, slots=True)
class Line:
    itemid: str
    count: int = 1


@dataclass(frozen=True, slots=True)
class Granted:
    customerid: str
    points: int
    lines: tuple[Line, ...] = ()
    best: Line | None = None
    until: datetime | None = None


class Sent(BaseModel):
    parcelid: str
    grams: int = 0


GRANTED = EventType("loyalty.Granted", Granted)
SENT = EventType("parcel.Sent", Sent)
NAMED = EventType("proto.Named", StringValue)
TEXT = EventType("text.Published", str, codec=BodyCodec(str.encode, bytes.decode))

BODIES = [
    (GRANTED, Granted("c", 5, (Line("blue", 2),), Line("red"), datetime(2026, 1, 2, tzinfo=UTC))),
    (GRANTED, Granted("c", 5)),
    (SENT, Sent(parcelid="p", grams=3)),
    (NAMED, StringValue(value="Ada")),
    (TEXT, "grüß dich"),
]


@pytest.mark.parametrize(("event_type", "body"), BODIES)
def test_body_is_decoded_as_it_was_encoded(event_type: EventType[Any], body: Any):
    event = event_type.encode(body, "e1", 1.5, about={"customerid": "c"})

    received = Event.from_message(event.to_message(), "a-topic")

    assert event_type.decode(received) == body
    assert (received.eventid, received.type) == ("e1", event_type.name)
    assert received.attributes["time"] == "1970-01-01T00:00:01.500Z"


def test_attributes_mark_reminders_versions_and_other_content_than_json():
    plain = GRANTED.encode(Granted("c", 5), "e1", 0).attributes
    marked = EventType("t", Granted, version=3).encode(Granted("c", 5), "e1", 0, is_reminder=True).attributes

    assert plain.keys() == {"time"}
    assert marked.items() >= {"again": "true", VERSION_ATTRIBUTE: "3"}.items()
    assert NAMED.encode(StringValue(), "e1", 0).attributes["content-type"] == "application/protobuf"


@dataclass(frozen=True)
class Moved:
    parcelid: str
    status: str
    reason: str | None = None
    grams: int = 0


def test_fields_of_the_body_are_attributes_where_the_type_names_them():
    moved = EventType("parcel.Moved", Moved, attributes=("status", "reason"))

    assert moved.encode(Moved("p", "sorted"), "e1", 0).attributes.keys() == {"time", "status"}
    assert (
        moved.encode(Moved("p", "lost", "fire"), "e1", 0).attributes.items()
        >= {
            "status": "lost",
            "reason": "fire",
        }.items()
    )


@pytest.mark.parametrize("name", ["grams", "no-field"])
def test_attribute_that_is_no_text_of_the_body_is_a_mistake_of_the_publisher(name: str):
    moved = EventType("parcel.Moved", Moved, attributes=(name,))

    with pytest.raises(TypeError, match=f"parcel.Moved has no text {name}"):
        moved.encode(Moved("p", "sorted"), "e1", 0)


def test_text_that_is_too_long_for_an_attribute_is_a_mistake_of_the_publisher():
    """Committed with its state, such an event would never be published."""
    moved = EventType("parcel.Moved", Moved, attributes=("status", "reason"))

    longest = moved.encode(Moved("p", "lost", "é" * 512), "e1", 0)
    with pytest.raises(ValueError, match=r"^reason in the body of parcel\.Moved is too long"):
        moved.encode(Moved("p", "lost", "é" * 512 + "!"), "e1", 0)

    assert longest.attributes["reason"] == "é" * 512


@pytest.mark.parametrize("name", ["eventid", "type", "time", "again", "schema-version", "ce-id", "googly"])
def test_attribute_with_a_meaning_of_its_own_cannot_be_a_field(name: str):
    with pytest.raises(ValueError, match="a meaning of its own"):
        EventType("parcel.Moved", Moved, attributes=(name,))


def test_receiver_ignores_fields_it_does_not_know_and_has_defaults_for_missing_ones():
    body = {"customerid": "c", "points": 5, "color": "red", "lines": [{"itemid": "blue", "size": 1}]}

    decoded = GRANTED.decode(Event("e1", GRANTED.name, json.dumps(body).encode()))

    assert decoded == Granted("c", 5, (Line("blue"),))


@pytest.mark.parametrize(
    ("event_type", "data", "where"),
    [
        (GRANTED, b"", "Invalid JSON"),
        (GRANTED, b"[]", ""),
        (GRANTED, b"{}", "customerid: Field required"),
        (GRANTED, b'{"customerid": "c", "points": "5"}', "points: Input should be a valid integer"),
        (GRANTED, b'{"customerid": "c", "points": true}', "points: Input should be a valid integer"),
        (GRANTED, b'{"customerid": "c", "points": 1, "lines": [{}]}', "lines.0.itemid: Field required"),
        (GRANTED, b"[" * 100_000, ""),
        (GRANTED, b"\xff", ""),
        (SENT, b"{}", "parcelid: Field required"),
        (NAMED, b"\xff\xff", "Error parsing message"),
        (TEXT, b"\xff", "'utf-8' codec can't decode"),
    ],
)
def test_malformed_body_is_poison_that_names_type_and_field(
    event_type: EventType[Any], data: bytes, where: str
):
    with pytest.raises(Poison) as raised:
        event_type.decode(Event("e1", event_type.name, data))

    assert raised.value.reason.startswith(f"malformed-body: {event_type.name}: {where}")


@pytest.mark.parametrize(
    ("event_type", "body", "problem"),
    [
        (GRANTED, Line("blue"), "the body of loyalty.Granted is a Line, not a Granted"),
        (GRANTED, {"customerid": "c", "points": 5}, "the body of loyalty.Granted is a dict"),
        (GRANTED, Granted("c", "5"), "the body of loyalty.Granted cannot be encoded: .*int"),
        (GRANTED, Granted("c", 5, (Line(7),)), "the body of loyalty.Granted cannot be encoded: .*str"),
        (SENT, Sent.model_construct(parcelid=7), "the body of parcel.Sent cannot be encoded: .*str"),
        (TEXT, "\ud800", "the body of text.Published cannot be encoded: "),
    ],
)
def test_mistake_of_a_publisher_is_a_type_error_at_once(event_type: EventType[Any], body: Any, problem: str):
    with pytest.raises(TypeError, match=problem):
        event_type.encode(body, "e1", 0)


@dataclass(frozen=True, slots=True)
class Kept(Stored):
    name: str


@pytest.mark.parametrize("model", [dict, str, Kept])
def test_model_without_an_encoding_is_rejected_where_it_is_declared(model: type):
    with pytest.raises(TypeError, match=model.__name__):
        EventType("a.Type", model)


def test_type_with_two_handlers_is_rejected():
    async def ignored(*_: object) -> Outcome:
        return Outcome.IGNORED

    with pytest.raises(ValueError, match=r"'loyalty\.Granted' has two handlers"):
        by_name({GRANTED: ignored, "loyalty.Granted": ignored})


@dataclass
class LoyaltyService:
    """A service that handles one event type by its `EventType`, and another by its name."""

    handled: list[tuple[str, Any]] = field(default_factory=list)
    bus: ManualBus = field(default_factory=ManualBus)
    clock: Clock = field(default_factory=Clock)

    def __post_init__(self) -> None:
        backend = Backend(MemoryTables(), self.bus)
        settings = ServiceSettings.from_environ(ENVIRON)
        self.messaging = Messaging("counter", settings, backend, self.clock.runtime(), self._build)

    def _build(self, _: Kit) -> Service:
        async def granted(event: Event, body: Granted) -> Outcome:
            self.handled.append((event.eventid, body))
            return Outcome.APPLIED

        async def plain(event: Event) -> Outcome:
            self.handled.append((event.eventid, event.body))
            return Outcome.APPLIED

        return Service(handlers={GRANTED: granted, "plain": plain}, publishes=[GRANTED])

    async def deliver(self, event: Event) -> list[str]:
        """Return how the delivery was settled."""
        async with background(self.messaging.run()):
            await self.clock.advance(0)
            delivery = self.bus.pulls["counter-service.things"][-1].deliver(event.to_message())
            await self.clock.advance(0)
            return delivery.settled


async def test_handler_of_an_event_type_receives_the_decoded_body():
    service = LoyaltyService()

    assert await service.deliver(GRANTED.encode(Granted("c", 5), "e1", 0)) == ["ack"]
    assert await service.deliver(Event("e2", "plain", b"any")) == ["ack"]

    assert service.handled == [("e1", Granted("c", 5)), ("e2", b"any")]


async def test_malformed_body_becomes_a_dead_letter_and_is_not_handled():
    service = LoyaltyService()

    assert await service.deliver(Event("e1", GRANTED.name, b"{}")) == ["ack"]

    ((topic, [letter]),) = service.bus.published
    assert (topic, service.handled) == ("dead", [])
    reason = letter.attributes["dead_letter_reason"]
    assert reason == "malformed-body: loyalty.Granted: customerid: Field required"


async def test_later_version_is_left_to_a_newer_replica():
    service = LoyaltyService()
    later = EventType(GRANTED.name, Granted, version=2).encode(Granted("c", 5), "e1", 0)

    assert await service.deliver(later) == ["nack"]
    assert service.handled == []


async def test_version_that_is_no_number_is_malformed():
    service = LoyaltyService()

    assert await service.deliver(Event("e1", GRANTED.name, b"{}", {VERSION_ATTRIBUTE: "two"})) == ["ack"]

    ((_, [letter]),) = service.bus.published
    assert letter.attributes["dead_letter_reason"].endswith("schema-version: 'two' is no version")
