"""Dataclasses as entities, and back."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest

from sagakit.codec import from_entity, to_entity
from sagakit.errors import Poison


@dataclass(frozen=True, slots=True)
class Line:
    itemid: str
    note: str | None = None


@dataclass(frozen=True, slots=True)
class Order:
    orderid: str
    status: str
    lines: tuple[Line, ...] = ()
    tags: tuple[str, ...] = ()
    reminders: int = 0


ORDER = Order("o", "open", (Line("blue", "wrap it"), Line("red")), ("new",), 2)
STORED = {
    "status": "open",
    "lines": [{"itemid": "blue", "note": "wrap it"}, {"itemid": "red"}],
    "tags": ["new"],
    "repeats": 2,
}
RENAME = {"reminders": "repeats"}


def test_stores_fields_in_their_order_under_their_stored_names():
    entity = to_entity(ORDER, exclude=("orderid",), rename=RENAME, omit_none=("note",))

    assert list(entity.items()) == list(STORED.items())


def test_none_is_stored_unless_omitted():
    assert to_entity(Line("red")) == {"itemid": "red", "note": None}


def test_loads_what_it_stored():
    assert from_entity(Order, STORED, rename=RENAME, orderid="o") == ORDER


def test_ignores_unknown_properties_at_any_depth():
    entity = {**STORED, "lines": [{"itemid": "red", "color": "red"}], "due": "1:o"}

    assert from_entity(Order, entity, orderid="o").lines == (Line("red"),)


def test_missing_property_gets_the_default():
    assert from_entity(Order, {"status": "open"}, orderid="o") == Order("o", "open")


@pytest.mark.parametrize(
    ("entity", "reason"),
    [
        ({}, "Order.status: the entity has no property 'status'"),
        ({"status": 5}, "Order.status: its type is int"),
        ({"status": None}, "Order.status: its type is NoneType"),
        ({"status": "open", "lines": "blue"}, "Order.lines: its type is str"),
        ({"status": "open", "lines": ["blue"]}, "Line: its type is str"),
        ({"status": "open", "lines": [{"itemid": 3}]}, "Line.itemid: its type is int"),
        ({"status": "open", "lines": [{"itemid": "a", "note": []}]}, "Line.note: its type is list"),
        ({"status": "open", "tags": ["a", 3]}, "Order.tags: its type is int"),
        ({"status": "open", "reminders": True}, "Order.reminders: its type is bool"),
        ({"status": "open", "reminders": 1.5}, "Order.reminders: its type is float"),
        ({"$unreadable": "damaged"}, "Order: damaged"),
    ],
)
def test_corrupt_entity_is_poison_that_names_class_and_field(entity, reason):
    with pytest.raises(Poison) as raised:
        from_entity(Order, entity, orderid="o")

    assert raised.value.reason == f"corrupt-entity: {reason}"


@dataclass(frozen=True, slots=True)
class Lenient:
    seconds: float = 0.0
    ok: bool = False
    anything: Mapping[str, int] = field(default_factory=dict)


def test_whole_seconds_are_a_float_and_unchecked_types_pass():
    assert from_entity(Lenient, {"seconds": 3, "ok": True, "anything": 3}) == Lenient(3, True, 3)
