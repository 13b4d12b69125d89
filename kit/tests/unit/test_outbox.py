"""Outbox rows, and the order of the `due` index."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sagakit.due import SHARDS, due_bound, encode_due, is_due, shard_of
from sagakit.outbox import RELAY_GRACE_SECONDS, Outbox
from sagakit.tables import DUE, Key, Row
from sagakit.testing.clock import START, Clock
from tests.support.counter import an_event

names = st.text(min_size=1, max_size=128)
times = st.floats(min_value=0, max_value=1e11, allow_nan=False)


def milliseconds(when: float) -> int:
    return int(when * 1000)


@given(name=names, sooner=times, later=times)
def test_earlier_due_sorts_first(name: str, sooner: float, later: float):
    sooner, later = sorted((sooner, later))

    assert encode_due(name, sooner) <= encode_due(name, later)
    assert (encode_due(name, sooner) < encode_due(name, later)) == (
        milliseconds(sooner) < milliseconds(later)
    )


@given(name=names, when=times, limit=times)
def test_due_bound_separates_earlier_from_later(name: str, when: float, limit: float):
    is_before = encode_due(name, when) < due_bound(shard_of(name), limit)

    assert is_before == (milliseconds(when) < milliseconds(limit))


@given(name=names, when=times)
def test_name_is_due_in_its_own_shard_only(name: str, when: float):
    found_in = [
        shard
        for shard in range(SHARDS)
        if due_bound(shard, 0) <= encode_due(name, when) < due_bound(shard, 1e11 + 1)
    ]

    assert found_in == [shard_of(name)]


def test_names_spread_over_the_shards():
    """An index on a plain time is written at its end only: about 500 writes a second."""
    counts = [0] * SHARDS
    for number in range(1_600):
        counts[shard_of(f"event-{number}")] += 1

    assert min(counts) > 60


@pytest.mark.parametrize("shard", [0, SHARDS - 1, 255])
def test_entity_is_due_in_any_shard(shard: int):
    """It may have been written when there were fewer shards."""
    due = due_bound(shard, START)

    assert is_due(due, START + 0.001)
    assert not is_due(due, START)
    assert not is_due(None, START)


def test_row_keeps_the_event_and_is_due_after_the_grace_period():
    outbox = Outbox("OutboxRow", Clock().runtime())
    event = an_event("e1", time="now", again="1")

    [insert] = outbox.inserts([event])

    assert insert.key == Key("OutboxRow", "e1")
    assert insert.entity[DUE] == encode_due("e1", START + RELAY_GRACE_SECONDS)
    assert outbox.event(insert.key, Row(insert.entity, 1)) == event


def test_claim_changes_only_due_and_claims():
    outbox = Outbox("OutboxRow", Clock().runtime())
    [insert] = outbox.inserts([an_event("e1")])

    update = outbox.claim(insert.key, Row(insert.entity, 7))

    assert update.version == 7
    assert update.entity == {**insert.entity, "claims": 1, DUE: encode_due("e1", START + 30)}


@pytest.mark.parametrize(
    ("odd", "error"),
    [({"body": "text"}, ValueError), ({"attributes": {"time": 1.5}}, ValueError), (None, LookupError)],
)
def test_row_that_holds_no_event_raises_a_value_or_lookup_error(odd, error: type[Exception]):
    outbox = Outbox("OutboxRow", Clock().runtime())
    [insert] = outbox.inserts([an_event("e1")])
    entity = {} if odd is None else {**insert.entity, **odd}

    with pytest.raises(error):
        outbox.event(insert.key, Row(entity, 1))
