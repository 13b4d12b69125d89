"""The AsyncAPI document: valid by the official schema, complete, and true of what is published."""

import json
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from grpc_health.v1.health_pb2 import HealthCheckRequest
from jsonschema import Draft7Validator, ValidationError

from contract.asyncapi import CART_ITEM, ORDER_TICKET_BODY, document
from contract.tickets import KNOWN, PUBLISHED_BY, CartItem, TicketMessage, ticket_event
from contract.topology import TOPOLOGY
from docs.site import events
from sagakit import asyncapi
from sagakit.bus import Message
from sagakit.dead_letters import dead_letter
from sagakit.event_types import EventType
from sagakit.events import Event
from sagakit.topology import ServiceDeclaration, Topology
from tests.chaos.versions import RELEASES
from tests.compatibility.recording import read_events

OFFICIAL = json.loads((Path(__file__).parent / "asyncapi/3.0.0.json").read_text())
"""AsyncAPI's own schema: schemas/3.0.0-without-$id.json of npm's package @asyncapi/specs 6.11.1."""
DOCUMENT = document()
PARCELS = Topology(
    services=(
        ServiceDeclaration("parcels", topic="parcels"),
        ServiceDeclaration("bills", subscribes_to=("parcels", "bank")),
        ServiceDeclaration("clock"),
    ),
    foreign_topics={"bank": "com.example.bank"},
)
INFO = {"title": "Parcels", "version": "1"}


@dataclass(frozen=True)
class Weight:
    grams: int


@dataclass(frozen=True)
class Sent:
    """A parcel has left."""

    parcelid: str
    weight: Weight | None = None


SENT = EventType("parcel.Sent", Sent, version=2)
CHECKED = EventType("parcel.Checked", HealthCheckRequest)


def other_weight() -> EventType[Any]:
    """Return an event type with another model of the same name."""

    @dataclass(frozen=True)
    class Weight:
        pounds: float

    @dataclass(frozen=True)
    class Weighed:
        weight: Weight

    return EventType("parcel.Weighed", Weighed)


def resolved(reference: str) -> Any:
    """Return what a reference inside of the document leads to."""
    node: Any = DOCUMENT
    for part in reference.removeprefix("#/").split("/"):
        node = node[part]
    return node


def described(topic: str) -> tuple[str, Any]:
    """Return the name and the message of a topic, which has one."""
    (channel,) = (each for each in DOCUMENT["channels"].values() if each["address"] == topic)
    ((name, reference),) = channel["messages"].items()
    return name, resolved(reference["$ref"])


def check(message: Message, topic: str) -> None:
    """Raise ValidationError unless a message is that of its topic."""
    name, headers, payload = validators(topic)
    headers.validate(dict(message.attributes))
    payload.validate(json.loads(message.data))
    assert name in (message.attributes.get("type"), "deadLetter")


@cache
def validators(topic: str) -> tuple[str, Draft7Validator, Draft7Validator]:
    name, expected = described(topic)
    schemas = (expected["headers"], expected["payload"])
    headers, payload = (Draft7Validator({**each, "components": DOCUMENT["components"]}) for each in schemas)
    return name, headers, payload


def references(node: Any) -> set[str]:
    nodes = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    own = {node["$ref"]} if isinstance(node, dict) and "$ref" in node else set()
    return own.union(*map(references, nodes))


@pytest.mark.parametrize(
    "found",
    [
        DOCUMENT,
        asyncapi.document(PARCELS, {}, INFO),
        asyncapi.document(PARCELS, {"parcels": [asyncapi.EventDescription("parcel.Lost", "Lost", {})]}, INFO),
        asyncapi.document(PARCELS, {"parcels": [SENT, CHECKED]}, INFO),
    ],
    ids=["the shop", "without events", "without a schema", "event types"],
)
def test_document_is_valid(found):
    assert [error.message for error in Draft7Validator(OFFICIAL).iter_errors(found)] == []


def test_official_schema_rejects_what_is_no_document():
    broken = {**DOCUMENT, "operations": {"stock.publish": {"action": "publish"}}}

    assert not Draft7Validator(OFFICIAL).is_valid(broken)


def test_every_reference_has_a_target():
    assert len(references(DOCUMENT)) > 10
    for reference in references(DOCUMENT):
        resolved(reference)


def test_every_topic_and_subscription_is_described():
    addresses = [channel["address"] for channel in DOCUMENT["channels"].values()]
    received = [each for each in DOCUMENT["operations"].values() if each["action"] == "receive"]

    assert addresses == TOPOLOGY.all_topics()
    assert [each["description"].split("`")[1] for each in received] == list(TOPOLOGY.subscriptions())


def test_operations_are_those_of_the_declared_services():
    found = asyncapi.document(PARCELS, {}, INFO)

    actions = {name: (each["action"], each["channel"]) for name, each in found["operations"].items()}
    assert actions == {
        "parcels.publish": ("send", {"$ref": "#/channels/parcels"}),
        "bills.receive.parcels": ("receive", {"$ref": "#/channels/parcels"}),
        "bills.receive.bank": ("receive", {"$ref": "#/channels/bank"}),
        "bills.dead-letter": ("send", {"$ref": "#/channels/dead-letter"}),
    }


def test_events_of_a_service_that_publishes_nothing_are_an_error():
    with pytest.raises(ValueError, match="bills publishes nothing"):
        asyncapi.document(PARCELS, {"bills": []}, INFO)


def test_event_types_are_described_by_their_models():
    found = asyncapi.document(PARCELS, {"parcels": [SENT, CHECKED]}, INFO)["components"]
    sent, checked = found["messages"]["parcels.parcel.Sent"], found["messages"]["parcels.parcel.Checked"]

    event = SENT.encode(Sent("p-1", Weight(200)), "e1", 1_700_000_000, is_reminder=True)
    Draft7Validator({**sent["payload"], "components": found}).validate(json.loads(event.body))
    headers = Draft7Validator({**sent["headers"], "components": found})
    headers.validate(dict(event.to_message().attributes))
    with pytest.raises(ValidationError):
        Draft7Validator({**sent["payload"], "components": found}).validate({"parcelid": "p-1", "weight": 200})
    with pytest.raises(ValidationError):
        headers.validate({**event.to_message().attributes, "schema-version": "1"})
    assert found["schemas"].keys() == {"EventHeaders", "Weight"}
    assert checked["contentType"] == "application/protobuf"
    assert checked["payload"] == {"description": "The protobuf message grpc.health.v1.HealthCheckRequest."}


def test_two_models_of_one_name_are_an_error():
    with pytest.raises(ValueError, match="two schemas are named 'Weight'"):
        asyncapi.document(PARCELS, {"parcels": [SENT, other_weight()]}, INFO)


def test_schemas_have_the_fields_of_the_ticket():
    assert list(ORDER_TICKET_BODY["properties"]) == [each.name for each in fields(TicketMessage)]
    assert ["unknown", *CART_ITEM["properties"]] == [each.name for each in fields(CartItem)]


@pytest.mark.parametrize("cloudevents", [False, True])
@pytest.mark.parametrize(
    ("service", "status"),
    [(service, each) for service, known in PUBLISHED_BY.items() for each in sorted(known)],
)
def test_published_events_are_as_described(service: str, status: str, cloudevents):
    topic = TOPOLOGY.topics[service]
    ticket = TicketMessage("o-1", status, (CartItem("blue", 3),), 300, "sold-out: blue", "a digest")

    for is_reminder in (False, True):
        event = ticket_event(ticket, "e1", 1_700_000_000, is_reminder=is_reminder)
        check(event.to_message(cloudevents_topic=topic if cloudevents else ""), topic)


@pytest.mark.parametrize("backend", ["embedded", "emulators"])
def test_recorded_events_are_as_described(backend: str):
    recorded = read_events(RELEASES / "0.1.0" / backend)

    assert len(recorded) > 20
    for topic, message in recorded:
        check(message, topic)


@pytest.mark.parametrize(
    "changed",
    [
        {"status": "sold"},
        {"cart_items": [{"itemid": "blue", "count": 0}]},
        {"orderid": ".."},
        {"amount": "3"},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_event_that_is_not_as_described_is_found(changed):
    event = ticket_event(TicketMessage("o-1", "reserved", (CartItem("blue", 3),), 300), "e1", 1_700_000_000)
    message = event.to_message()
    other = Message(json.dumps({**json.loads(message.data), **changed}).encode(), message.attributes)

    check(message, TOPOLOGY.topics["stock"])
    with pytest.raises(ValidationError):
        check(other, TOPOLOGY.topics["stock"])


def test_examples_are_valid_and_can_be_received():
    for topic in (TOPOLOGY.topics[service] for service in PUBLISHED_BY):
        name, expected = described(topic)
        for example in expected["examples"]:
            message = Message(json.dumps(example["payload"]).encode(), {"eventid": "e1", "type": name})
            check(message, topic)
            assert TicketMessage.from_event(Event.from_message(message)).status in KNOWN


def test_dead_letters_are_as_described():
    letter = dead_letter("s", Message(b"{}", {"eventid": "e1"}), "malformed-ticket", 1_700_000_000)

    check(letter, TOPOLOGY.dead_letter_topic)


def test_committed_files_are_those_of_the_code():
    assert {file: file.read_text() for file in events.files()} == events.files(), "run `make generate`"
