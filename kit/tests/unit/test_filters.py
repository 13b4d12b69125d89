"""A filter of Pub/Sub withholds what is ignored, as the consumer would ignore it, and nothing else."""

import re
from collections.abc import Mapping
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sagakit.backends.gcp.filters import MAX_FILTER_BYTES, delivers_the_rest, filter_of
from sagakit.ignored import Ignored

MOVED = Ignored("parcel.Moved", "status", frozenset({"sorted", "weighed", "loaded"}))

texts = st.sampled_from(["parcel.Moved", "parcel.Lost", "sorted", "weighed", "sent", "Sorted", ""])
attributes = st.dictionaries(st.sampled_from(["type", "status", "ce-type", "eventid"]), texts)
ignored = st.builds(
    Ignored,
    st.sampled_from(["parcel.Moved", "parcel.Lost"]),
    st.just("status"),
    st.frozensets(st.sampled_from(["sorted", "weighed", "loaded", "sent"]), min_size=1),
)


def delivers(text: str, message: Mapping[str, str]) -> bool:
    """Whether a message matches a filter: a comparison matches only messages that have the attribute."""

    def holds(condition: str) -> bool:
        negated, rest = condition.startswith("NOT "), condition.removeprefix("NOT ")
        if rest.startswith("attributes:"):
            found = rest.removeprefix("attributes:") in message
        else:
            match = re.fullmatch(r'attributes\.([\w-]+) (=|!=) "([^"]*)"', rest)
            assert match, rest
            key, operator, value = match.groups()
            found = key in message and (message[key] == value) == (operator == "=")
        return found != negated

    first, second, others = text.split(" OR ")
    if " AND " in others:
        assert others[0] + others[-1] == "()", "AND and OR are combined by parentheses"
    remaining = others.removeprefix("(").removesuffix(")").split(" AND ")
    return holds(first) or holds(second) or all(map(holds, remaining))


@given(ignored=ignored, message=attributes)
def test_what_is_withheld_is_what_the_consumer_ignores(ignored: Ignored, message: Mapping[str, str]):
    assert delivers(filter_of(ignored), message) is not ignored.includes(message)


@given(before=ignored, now=ignored)
def test_subscription_may_stay_if_it_withholds_no_more(before: Ignored, now: Ignored):
    withholds_no_more = before.event_type == now.event_type and before.values <= now.values

    assert delivers_the_rest(filter_of(before), now) is withholds_no_more
    assert delivers_the_rest("", now)
    assert not delivers_the_rest(filter_of(before), None)


@pytest.mark.parametrize(
    "theirs",
    [
        'attributes.status = "sent"',
        "attributes:owner",
        'attributes.status != "sorted"',
        'hasPrefix(attributes.a, "b")',
    ],
)
def test_filter_of_another_author_may_not_stay(theirs: str):
    assert not delivers_the_rest(theirs, MOVED)


def test_values_beyond_the_limit_are_delivered():
    many = replace(MOVED, values=frozenset(f"status-{number:02}" for number in range(50)))
    one = replace(MOVED, values=frozenset({"x" * 300}))

    text = filter_of(many)

    assert len(text.encode()) <= MAX_FILTER_BYTES
    assert not delivers(text, {"type": "parcel.Moved", "status": "status-00"})
    assert delivers(text, {"type": "parcel.Moved", "status": "status-49"})
    assert delivers_the_rest(text, many)
    assert filter_of(one) == ""
