"""What the simulated payment provider promises, over every store its books may be in."""

import asyncio

import pytest

from sagakit.errors import Contention, Unavailable
from sagakit.runtime import Runtime
from sagakit.tables import Key, Tables
from services.payment.provider import Canceled, Charged, Declined
from services.payment.simulated import (
    LEDGER,
    FaultSettings,
    SimulatedProvider,
    load_faults,
    save_faults,
    to_entry,
)
from tests.support.clock import Clock, impatient
from tests.support.eventually import eventually
from tests.support.stores import OpenTables
from tests.support.tables import CountedTables

TOO_MUCH = "declined: 1001 is above the limit of 1000"


def provider(tables: Tables, runtime: Runtime | None = None) -> SimulatedProvider:
    return SimulatedProvider(tables, runtime or Runtime(), limit=1_000)


async def books(tables: Tables):
    row = (await tables.lookup([Key(LEDGER, "o")])).get(Key(LEDGER, "o"))
    return None if row is None else to_entry(row.entity)


async def test_it_charges_once_and_answers_as_at_first(tables: Tables):
    answers = [await provider(tables).charge("o", amount) for amount in (300, 300, 999, 5_000)]

    assert answers == [Charged()] * 4
    assert (await books(tables)).charged == 300


async def test_it_declines_what_is_above_its_limit_and_remembers_it(tables: Tables):
    answers = [await provider(tables).charge("o", amount) for amount in (1_001, 1)]

    assert answers == [Declined(TOO_MUCH)] * 2
    assert (await books(tables)).charged == 0


async def test_it_charges_up_to_its_limit(tables: Tables):
    assert await provider(tables).charge("o", 1_000) == Charged()


async def test_a_cancellation_is_final(tables: Tables):
    """Trap: a refund that is overtaken by the charge it was meant for."""
    assert await provider(tables).cancel("o") == 0

    assert await provider(tables).charge("o", 300) == Canceled()
    assert (await books(tables)).charged == 0


async def test_a_charge_is_given_back_once(tables: Tables):
    await provider(tables).charge("o", 300)

    assert [await provider(tables).cancel("o") for _ in range(3)] == [300, 300, 300]
    entry = await books(tables)
    assert (entry.charged, entry.refunded) == (300, 300)


@pytest.mark.parametrize("charged_before", [False, True])
async def test_charges_and_cancellations_that_cross_leave_nothing_charged(
    open_tables: OpenTables, charged_before: bool
):
    async with open_tables() as here, open_tables() as there:
        several = [provider(here), provider(there)]
        if charged_before:
            await several[0].charge("o", 300)

        refunds = await asyncio.gather(
            *(
                several[n % 2].cancel("o") if n % 3 == 1 else several[n % 2].charge("o", 300)
                for n in range(20)
            )
        )

        entry = await books(here)
        assert entry.charged == entry.refunded
        assert entry.charged == 300 or not charged_before
        assert entry.canceled
        assert {refund for refund in refunds if isinstance(refund, int)} == {entry.refunded}
        assert await several[1].charge("o", 300) == Canceled()


async def test_charges_that_cross_charge_once(open_tables: OpenTables):
    async with open_tables() as here, open_tables() as there:
        several = [provider(here), provider(there)]

        answers = await asyncio.gather(*(several[n % 2].charge("o", 300 + n) for n in range(20)))

        assert answers == [Charged()] * 20
        assert (await books(here)).charged in range(300, 320)


async def test_a_declined_order_that_is_canceled_gets_nothing_back(tables: Tables):
    await provider(tables).charge("o", 1_001)

    assert await provider(tables).cancel("o") == 0
    assert await provider(tables).charge("o", 300) == Canceled()


async def test_it_can_be_away_also_for_what_it_has_answered_before(tables: Tables):
    await provider(tables).charge("o", 300)
    await save_faults(tables, FaultSettings(unavailable=True))

    for call in (provider(tables).charge("o", 300), provider(tables).cancel("o"), provider(tables).check()):
        with pytest.raises(Unavailable):
            await call
    await save_faults(tables, FaultSettings())
    await provider(tables).check()
    assert (await books(tables)).refunded == 0
    assert await provider(tables).cancel("o") == 300


async def test_it_can_be_away_for_somebody_it_has_never_heard_of(tables: Tables):
    await save_faults(tables, FaultSettings(unavailable=True))

    with pytest.raises(Unavailable):
        await provider(tables).charge("o", 300)

    assert await books(tables) is None


@pytest.mark.parametrize(("amount", "answer"), [(300, Charged()), (1_001, Declined(TOO_MUCH))])
async def test_it_can_decide_and_lose_its_answer(tables: Tables, amount: int, answer):
    await save_faults(tables, FaultSettings(drop_responses=True))

    with pytest.raises(Unavailable):
        await provider(tables).charge("o", amount)
    once = await books(tables)

    assert await provider(tables).charge("o", amount) == answer
    assert await books(tables) == once
    assert await load_faults(tables) == FaultSettings(drop_responses=True)


async def test_a_cancellation_overtakes_a_charge_that_takes_its_time(tables: Tables):
    clock = Clock()
    await save_faults(tables, FaultSettings(delay_seconds=5))
    asked = asyncio.create_task(provider(tables, clock.runtime()).charge("o", 300))
    await eventually(lambda: clock.sleepers)

    refunded = await provider(tables, clock.runtime()).cancel("o")
    await clock.advance(6)

    assert (refunded, await asked) == (0, Canceled())
    assert (await books(tables)).charged == 0


async def test_what_it_has_answered_before_it_answers_at_once(tables: Tables):
    await provider(tables).charge("o", 300)
    await save_faults(tables, FaultSettings(delay_seconds=60))

    assert await provider(tables, Clock().runtime()).charge("o", 300) == Charged()


async def test_it_says_so_where_others_always_get_there_first(tables: Tables):
    class Unlucky(CountedTables):
        async def commit(self, mutations) -> None:
            raise Contention("somebody was faster")

    unlucky = provider(Unlucky(tables), impatient())

    for call in (unlucky.charge("o", 300), unlucky.cancel("o")):
        with pytest.raises(Unavailable):
            await call
    assert await books(tables) is None


async def test_orders_are_charged_apart_from_one_another(tables: Tables):
    await provider(tables).cancel("another")

    assert await provider(tables).charge("o", 300) == Charged()


@pytest.mark.parametrize(("seconds", "answers"), [(9.0, True), (10.0, True), (10.1, False), (99.0, False)])
async def test_it_can_be_slow_and_nobody_waits_longer_than_ten_seconds(tables: Tables, seconds, answers):
    clock = Clock()
    await save_faults(tables, FaultSettings(delay_seconds=seconds))
    asked = asyncio.create_task(provider(tables, clock.runtime()).charge("o", 300))
    await eventually(lambda: clock.sleepers)

    await clock.advance(10.5)

    if answers:
        assert await asked == Charged()
        assert (await books(tables)).charged == 300
    else:
        with pytest.raises(Unavailable):
            await asked
        assert await books(tables) is None
