"""What steps promise, over every implementation of `Tables`: nothing lost, nothing twice, all or nothing."""

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta

import pytest

from sagakit.errors import Contention, FailedPrecondition, OutcomeUnknown, Rejected, Unavailable
from sagakit.store import MAX_KEY_ROUNDS, Changes, Decide, Snapshot
from sagakit.tables import Insert, Key, Mutation, Tables, Update
from tests.support.clock import Clock, impatient
from tests.support.counter import (
    COUNTER,
    INBOX,
    OUTBOX,
    a_store,
    an_event,
    an_inbox,
    count_in,
    counting,
    entities,
    once,
    rejecting,
)
from tests.support.stores import OpenTables
from tests.support.tables import ConflictingTables, CountedTables, LostResponseTables

INBOX_ROW = Key(INBOX, "heard")
OUTBOX_ROW = Key(OUTBOX, "published")


@pytest.fixture
async def rival(tables: Tables) -> Callable[[], list[Mutation]]:
    """Adds 100 to the counter, which is at 5, in the version it then has; each time it is called."""
    await tables.commit([Insert(COUNTER, {"n": 5})])
    version = (await tables.lookup([COUNTER]))[COUNTER].version
    return lambda: [Update(COUNTER, {"n": 105}, version)]


async def test_of_parallel_increments_by_several_processes_none_is_lost(open_tables: OpenTables):
    """The trap: what a write depends on is read outside the transaction that writes it."""
    async with AsyncExitStack() as processes:
        several = [await processes.enter_async_context(open_tables()) for _ in range(3)]
        stores = [a_store(tables) for tables in several for _ in range(2)]

        async def increment(store) -> None:
            for _ in range(4):
                await store.transact([COUNTER], counting())

        await asyncio.gather(*(increment(store) for store in stores))

        assert await count_in(several[0]) == 24


async def test_steps_of_one_process_queue_up_and_lose_no_race(tables: Tables):
    counted = CountedTables(tables)
    store = a_store(counted)

    await asyncio.gather(*(store.transact([COUNTER], counting()) for _ in range(20)))

    assert await count_in(tables) == 20
    assert counted.calls == {"lookup": 20, "commit": 20}


async def test_a_lost_race_is_decided_again_from_fresh_reads(tables: Tables, rival):
    counted = CountedTables(ConflictingTables(tables, rival))
    found = []

    changes = await a_store(counted).transact([COUNTER], counting(each_time=found.append))

    assert found == [5, 105]
    assert changes.result == 106
    assert await count_in(tables) == 106
    assert counted.calls == {"lookup": 2, "commit": 2}


async def test_a_lost_race_can_end_in_a_refusal(tables: Tables, rival):
    def only_below_100(found: Snapshot) -> Changes[int]:
        if found.get(COUNTER)["n"] >= 100:
            raise FailedPrecondition("too-many", "that is enough")
        return counting()(found)

    with pytest.raises(FailedPrecondition):
        await a_store(ConflictingTables(tables, rival)).transact([COUNTER], only_below_100)

    assert await count_in(tables) == 105


async def test_whoever_always_loses_is_told_so_and_has_changed_nothing(tables: Tables):
    class Unlucky(CountedTables):
        async def commit(self, mutations) -> None:
            raise Contention("somebody was faster")

    with pytest.raises(Contention):
        await a_store(Unlucky(tables), impatient()).transact([COUNTER], counting(events=[an_event()]))

    assert await entities(tables, COUNTER, OUTBOX_ROW) == {}


async def test_a_blind_insert_that_meets_an_entity_sees_it_the_next_time(tables: Tables):
    await tables.commit([Insert(COUNTER, {"n": 7})])
    counted = CountedTables(tables)
    found = []

    changes = await a_store(counted).transact((), counting(each_time=found.append))

    assert found == [0, 7]
    assert changes.result == 8
    assert await count_in(tables) == 8
    assert counted.calls == {"lookup": 1, "commit": 2}


async def test_a_step_writes_state_inbox_and_outbox_in_one_commit(tables: Tables):
    """The trap: dedup checked, state changed and eventid recorded in three commits."""
    counted = CountedTables(tables)

    await a_store(counted).transact([COUNTER], once("heard", counting(events=[an_event(time="now")])))

    [mutations] = counted.committed
    assert {mutation.key for mutation in mutations} == {COUNTER, INBOX_ROW, OUTBOX_ROW}
    found = await entities(tables, COUNTER, INBOX_ROW, OUTBOX_ROW)
    assert found[COUNTER] == {"n": 1}
    assert found[INBOX_ROW]["answer"] == 1
    assert found[OUTBOX_ROW]["body"] == b'{"n": 1}'
    assert found[OUTBOX_ROW]["type"] == "counter.Counted"
    assert found[OUTBOX_ROW]["attributes"] == {"time": "now"}


async def test_a_duplicate_changes_nothing_and_is_answered_as_the_first(tables: Tables):
    """The trap: a duplicate taken for a failure, so that a good order is rolled back."""
    await a_store(tables).transact([COUNTER], once("heard", counting()))
    await a_store(tables).transact([COUNTER], once("other", counting()))

    again = await a_store(tables).transact([COUNTER], once("heard", counting(events=[an_event()])))

    assert again.result == 1
    assert again.unchanged
    assert await count_in(tables) == 2
    assert await entities(tables, OUTBOX_ROW) == {}


async def test_a_duplicate_that_would_be_refused_by_now_is_answered_as_the_first(tables: Tables):
    await a_store(tables).transact([COUNTER], once("heard", counting()))

    again = await a_store(tables).transact([COUNTER, an_inbox().key("heard")], once("heard", rejecting))

    assert again.result == 1


async def test_racing_duplicates_are_applied_once(open_tables: OpenTables):
    """The trap: dedup by query on an auto-id entity, where two copies race through."""
    async with open_tables() as here, open_tables() as there:
        stores = [a_store(tables) for tables in (here, there) for _ in range(3)]

        outcomes = await asyncio.gather(
            *(store.transact([COUNTER], once("heard", counting())) for store in stores)
        )

        assert await count_in(here) == 1
        assert {changes.result for changes in outcomes} == {1}
        assert sum(not changes.unchanged for changes in outcomes) == 1


async def test_racing_copies_that_change_different_entities_are_applied_once(open_tables: OpenTables):
    """Nothing but the inbox row can tell them apart then."""
    keys = [Key("Counter", str(number)) for number in range(4)]
    async with open_tables() as here, open_tables() as there:
        steps = [
            a_store(tables).transact([key], once("heard", counting(key)))
            for key, tables in zip(keys, (here, there) * 2, strict=True)
        ]

        await asyncio.gather(*steps)

        assert sum([await count_in(here, key) for key in keys]) == 1


async def test_a_commit_that_collides_on_the_inbox_row_leaves_nothing_else(tables: Tables):
    already = [Insert(INBOX_ROW, {"answer": 9})]
    raced = ConflictingTables(tables, lambda: already)

    changes = await a_store(raced).transact([COUNTER], once("heard", counting(events=[an_event()])))

    assert changes.result == 9
    assert await entities(tables, COUNTER, OUTBOX_ROW) == {}


async def test_a_commit_that_collides_on_the_state_leaves_neither_inbox_nor_outbox_row(tables: Tables, rival):
    def unless_it_was_raised(found: Snapshot) -> Changes[int]:
        if found.get(COUNTER)["n"] > 100:
            raise FailedPrecondition("too-many", "that is enough")
        return counting(events=[an_event()])(found)

    with pytest.raises(FailedPrecondition):
        await a_store(ConflictingTables(tables, rival)).transact(
            [COUNTER], once("heard", unless_it_was_raised)
        )

    assert await entities(tables, INBOX_ROW, OUTBOX_ROW) == {}


async def test_a_refused_step_writes_nothing_so_that_a_retry_is_not_taken_for_a_duplicate(tables: Tables):
    """The trap: the eventid recorded before the handler ran, or a retry answered as if it were done."""
    with pytest.raises(Rejected):
        await a_store(tables).transact([COUNTER], once("heard", rejecting))

    changes = await a_store(tables).transact([COUNTER], once("heard", counting()))

    assert changes.result == 1
    assert await count_in(tables) == 1


async def test_where_nothing_changes_nothing_is_committed(tables: Tables):
    counted = CountedTables(tables)
    idle = once("heard", lambda _: Changes(3))

    changes = await a_store(counted).transact([COUNTER], idle)

    assert changes.result == 3
    assert counted.calls == {"lookup": 1}
    assert await entities(tables, INBOX_ROW) == {}


async def test_a_step_that_only_says_something_is_committed(tables: Tables):
    changes = await a_store(tables).transact((), lambda _: Changes(None, {}, [an_event()]))

    assert not changes.unchanged
    assert list(await entities(tables, OUTBOX_ROW)) == [OUTBOX_ROW]


@pytest.mark.parametrize("applied", [True, False])
async def test_a_repeatable_step_without_an_answer_is_applied_once(tables: Tables, applied: bool):
    unanswered = LostResponseTables(tables, applied=applied)

    changes = await a_store(unanswered).transact([COUNTER], once("heard", counting(events=[an_event()])))

    assert changes.result == 1
    assert await count_in(tables) == 1
    assert set(await entities(tables, INBOX_ROW, OUTBOX_ROW)) == {INBOX_ROW, OUTBOX_ROW}


@pytest.mark.parametrize("applied", [True, False])
async def test_a_step_that_is_not_repeatable_is_left_at_once_when_there_is_no_answer(
    tables: Tables, applied: bool
):
    counted = CountedTables(LostResponseTables(tables, applied=applied))

    with pytest.raises(OutcomeUnknown):
        await a_store(counted).transact([COUNTER], counting(), retry_unknown=False)

    assert await count_in(tables) == (1 if applied else 0)
    assert counted.calls == {"lookup": 1, "commit": 1}


@pytest.mark.parametrize("applied", [True, False])
async def test_a_blind_step_without_an_answer_reads_what_it_may_have_written(tables: Tables, applied: bool):
    def create(found: Snapshot) -> Changes[str]:
        there = found.get(COUNTER)
        return Changes("there") if there else Changes("made", {COUNTER: {"n": 1}})

    changes = await a_store(LostResponseTables(tables, applied=applied)).transact((), create)

    assert changes.result == ("there" if applied else "made")
    assert await count_in(tables) == 1


async def test_answers_that_never_come_are_not_waited_for_without_end(tables: Tables):
    unanswered = LostResponseTables(tables, applied=False, count=1_000)

    with pytest.raises(OutcomeUnknown):
        await a_store(unanswered).transact([COUNTER], once("heard", counting()))

    assert unanswered.left > 990


async def test_a_step_costs_two_calls_and_never_a_query(tables: Tables):
    counted = CountedTables(tables)
    keys = [COUNTER, Key("Counter", "b"), Key("Counter", "c")]

    await a_store(counted).transact(keys, once("heard", counting(events=[an_event()])))

    assert counted.calls == {"lookup": 1, "commit": 1}


async def test_each_lost_race_costs_two_calls_more(tables: Tables, rival):
    def another() -> list[Mutation]:
        return [Insert(INBOX_ROW, {"answer": 50})]

    counted = CountedTables(ConflictingTables(tables, rival, another))

    changes = await a_store(counted).transact([COUNTER], once("heard", counting()))

    # Both races were lost; the second one to a copy of the same event, which ends it without a commit.
    assert changes.result == 50
    assert counted.calls == {"lookup": 3, "commit": 2}


async def test_a_duplicate_costs_three_calls(tables: Tables):
    await a_store(tables).transact([COUNTER], once("heard", counting()))
    counted = CountedTables(tables)

    await a_store(counted).transact([COUNTER], once("heard", counting()))

    assert counted.calls == {"lookup": 2, "commit": 1}


async def test_where_nothing_has_to_be_read_a_step_costs_one_call(tables: Tables):
    counted = CountedTables(tables)

    await a_store(counted).transact((), once("heard", counting()))

    assert counted.calls == {"commit": 1}


async def test_a_read_costs_one_call(tables: Tables):
    await tables.commit([Insert(COUNTER, {"n": 7})])
    counted = CountedTables(tables)

    found = await a_store(counted).read([COUNTER, Key("Counter", "b")])

    assert found.get(COUNTER) == {"n": 7}
    assert found.get(Key("Counter", "b")) is None
    assert counted.calls == {"lookup": 1}


async def test_inbox_rows_say_when_they_may_be_deleted(tables: Tables):
    """The trap: tables of outbox and dedup rows that only grow."""
    clock = Clock()

    await a_store(tables).transact([COUNTER], once("heard", counting(), an_inbox(clock.runtime())))

    row = (await entities(tables, INBOX_ROW))[INBOX_ROW]
    assert row["expires_at"] == datetime.fromtimestamp(clock.now(), UTC) + timedelta(days=60)


async def test_a_store_that_is_away_is_said_so(tables: Tables):
    class Away(CountedTables):
        async def lookup(self, keys):
            raise Unavailable("gone")

    with pytest.raises(Unavailable):
        await a_store(Away(tables)).transact([COUNTER], counting())

    assert await count_in(tables) == 0


OTHER = Key("Counter", "other")


async def test_a_step_that_must_see_more_begins_again_with_that(tables: Tables):
    await tables.commit([Insert(COUNTER, {"n": 1}), Insert(OTHER, {"n": 10})])
    counted = CountedTables(tables)

    def decide(found: Snapshot) -> Changes[int]:
        found.require([OTHER])
        total = found.get(COUNTER)["n"] + found.get(OTHER)["n"]
        return Changes(total, {OTHER: {"n": total}})

    changes = await a_store(counted).transact([COUNTER], once("heard", decide))

    assert changes.result == await count_in(tables, OTHER) == 11
    assert counted.calls == {"lookup": 2, "commit": 1}


async def test_a_step_that_begins_again_decides_from_fresh_reads(tables: Tables):
    """What it had seen before it asked for more may have changed since."""
    await tables.commit([Insert(COUNTER, {"n": 1}), Insert(OTHER, {"n": 10})])

    class ChangedBeforeTheSecondLookup(CountedTables):
        async def lookup(self, keys):
            if self.calls["lookup"] == 1:
                row = (await tables.lookup([COUNTER]))[COUNTER]
                await tables.commit([Update(COUNTER, {"n": 2}, row.version)])
            return await super().lookup(keys)

    counted = ChangedBeforeTheSecondLookup(tables)

    changes = await a_store(counted).transact([COUNTER], adding(COUNTER, OTHER))

    assert changes.result == 12
    assert counted.calls == {"lookup": 2, "commit": 1}


def adding(*keys: Key) -> Decide[int]:
    """Writes the sum of what was found into the last of `keys`, all of which it must see."""

    def decide(found: Snapshot) -> Changes[int]:
        found.require(keys)
        total = sum((found.get(key) or {"n": 0})["n"] for key in keys)
        return Changes(total, {keys[-1]: {"n": total}})

    return decide


async def test_what_is_read_only_counts_as_looked_up(tables: Tables):
    await tables.commit([Insert(COUNTER, {"n": 1})])
    counted = CountedTables(tables)

    changes = await a_store(counted).transact([OTHER], adding(COUNTER, OTHER), read_only=[COUNTER])

    assert changes.result == 1
    assert counted.calls == {"lookup": 1, "commit": 1}


async def test_steps_that_find_out_that_they_need_the_same_queue_up_for_it(tables: Tables):
    counted = CountedTables(tables)
    store = a_store(counted)
    keys = [Key("Counter", str(number)) for number in range(5)]
    await tables.commit([Insert(key, {"n": 1}) for key in keys] + [Insert(OTHER, {"n": 0})])

    await asyncio.gather(*(store.transact([key], adding(key, OTHER)) for key in keys))

    assert await count_in(tables, OTHER) == 5
    assert counted.calls == {"lookup": 2 * 5, "commit": 5}


async def test_what_was_only_to_be_read_and_is_written_all_the_same_loses_no_update(tables: Tables):
    await tables.commit([Insert(COUNTER, {"n": 0})])
    store = a_store(tables)

    await asyncio.gather(*(store.transact((), counting(), read_only=[COUNTER]) for _ in range(5)))

    assert await count_in(tables) == 5


async def test_a_step_that_needs_more_after_a_lost_race_is_still_applied_once(tables: Tables, rival):
    """The race is lost on what was seen at first, so that the second look needs what the first did not."""

    def decide(found: Snapshot) -> Changes[int]:
        if found.get(COUNTER)["n"] > 100:
            found.require([OTHER])
        return counting(events=[an_event()])(found)

    counted = CountedTables(ConflictingTables(tables, rival))

    changes = await a_store(counted).transact([COUNTER], once("heard", decide))

    assert changes.result == await count_in(tables) == 106
    assert len(counted.committed) == 1
    assert set(await entities(tables, INBOX_ROW, OUTBOX_ROW)) == {INBOX_ROW, OUTBOX_ROW}


async def test_a_duplicate_that_must_see_more_is_still_a_duplicate(tables: Tables):
    await a_store(tables).transact([COUNTER], once("heard", counting()))

    again = await a_store(tables).transact((), once("heard", adding(COUNTER, OTHER)))

    assert (again.result, again.unchanged) == (1, True)
    assert await entities(tables, OTHER) == {}


async def test_a_view_shows_what_is_there_at_one_moment(tables: Tables):
    """Looked up in one call, with what it turned out to need; not the one before and the other after."""
    await tables.commit([Insert(COUNTER, {"n": 5}), Insert(OTHER, {"n": 5})])

    class MovedBeforeTheSecondLookup(CountedTables):
        async def lookup(self, keys):
            if self.calls["lookup"] == 1:
                found = await tables.lookup([COUNTER, OTHER])
                moved = {COUNTER: {"n": 3}, OTHER: {"n": 7}}
                await tables.commit([Update(key, moved[key], found[key].version) for key in moved])
            return await super().lookup(keys)

    def look(found: Snapshot) -> int:
        found.require([OTHER])
        return found.get(COUNTER)["n"] + found.get(OTHER)["n"]

    assert await a_store(MovedBeforeTheSecondLookup(tables)).view([COUNTER], look) == 10


async def test_what_was_looked_up_and_is_not_there_need_not_be_looked_up_again(tables: Tables):
    counted = CountedTables(tables)

    def look(found: Snapshot) -> int | None:
        found.require([COUNTER, OTHER])
        return found.get(OTHER)

    assert await a_store(counted).view([COUNTER], look) is None
    assert counted.calls == {"lookup": 2}


async def test_a_step_whose_needs_never_end_is_given_up(tables: Tables):
    decided: list[int] = []

    def insatiable(found: Snapshot) -> Changes[int]:
        decided.append(1)
        found.require([Key("Counter", str(number)) for number in range(len(decided))])
        return Changes(0)

    with pytest.raises(Contention):
        await a_store(tables).transact((), insatiable)
    with pytest.raises(Contention):
        await a_store(tables).view((), insatiable)
    assert len(decided) == 2 * MAX_KEY_ROUNDS


async def test_steps_queue_up_for_what_they_write_and_not_for_what_they_only_read(tables: Tables):
    """Orders for one item read the item, and write shards of it: they need not wait for one another."""
    at_once, most = 0, 0

    class Watched(CountedTables):
        async def commit(self, mutations):
            nonlocal at_once, most
            at_once += 1
            most = max(most, at_once)
            await asyncio.sleep(0.05)
            at_once -= 1
            await super().commit(mutations)

    store = a_store(Watched(tables))
    keys = [Key("Counter", str(number)) for number in range(3)]

    await asyncio.gather(*(store.transact([key], counting(key), read_only=[COUNTER]) for key in keys))
    reading = most
    most = 0
    await asyncio.gather(*(store.transact([keys[0]], counting(keys[0])) for _ in range(3)))

    assert (reading, most) == (3, 1)
    assert await count_in(tables, keys[0]) == 4
