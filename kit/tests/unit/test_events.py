"""The event envelope: events survive the message, and malformed messages are poison, never a crash."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sagakit.bus import Message
from sagakit.errors import Poison
from sagakit.events import EVENTID_MAX_LENGTH, Event, published_at, timestamp

texts = st.text(st.characters(codec="utf-8"), max_size=200)
attributes = st.dictionaries(texts, texts, max_size=5)
printable = st.text(
    st.characters(codec="ascii", min_codepoint=33, max_codepoint=126), min_size=1, max_size=128
)
others = attributes.map(
    lambda each: {name: value for name, value in each.items() if name not in ("eventid", "type")}
)


@given(event=st.builds(Event, printable, texts, st.binary(), others))
def test_event_survives_the_message(event: Event):
    assert Event.from_message(event.to_message()) == event


@given(data=st.binary(), attributes=attributes, eventid=st.none() | texts, type=st.none() | texts)
def test_any_message_is_an_event_or_poison(data: bytes, attributes: dict, eventid, type):
    named = {"eventid": eventid, "type": type}
    message = Message(
        data, {**attributes, **{name: each for name, each in named.items() if each is not None}}
    )

    try:
        event = Event.from_message(message)
    except Poison as poison:
        assert poison.reason in ("no-eventid", "malformed-eventid")
    else:
        assert 0 < len(event.eventid) <= EVENTID_MAX_LENGTH
        assert event.body == data


def test_event_without_a_type_has_an_empty_one():
    assert Event.from_message(Message(b"", {"eventid": "e1"})).type == ""


def test_reading_an_event_does_not_change_the_message():
    message = Message(b"", {"eventid": "e1", "type": "t", "again": "1"})

    Event.from_message(message)

    assert message.attributes == {"eventid": "e1", "type": "t", "again": "1"}


@pytest.mark.parametrize(
    ("now", "text"),
    [
        (0, "1970-01-01T00:00:00.000Z"),
        (1_700_000_000.5, "2023-11-14T22:13:20.500Z"),
        (1_700_000_000.0004, "2023-11-14T22:13:20.000Z"),
    ],
)
def test_times_are_published_in_utc_with_milliseconds(now: float, text: str):
    assert timestamp(now) == text


@pytest.mark.parametrize(
    "text", ["", "yesterday", "2026-11-21T12:00:00"], ids=["none", "malformed", "no zone"]
)
def test_time_that_is_no_moment_is_ignored(text: str):
    assert published_at({"time": text}) is None
