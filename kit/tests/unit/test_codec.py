"""Dataclasses as entities, and back."""

from dataclasses import dataclass

import pytest

from sagakit.codec import from_entity, to_entity


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


def test_missing_property_without_default_names_class_and_field():
    with pytest.raises(LookupError, match=r"Order\.status: .* 'status'"):
        from_entity(Order, {}, orderid="o")
