"""What the simulated payment provider promises, over every store its books may be in."""

import asyncio

import pytest

from sagakit.errors import Unavailable
from sagakit.runtime import Runtime
from sagakit.tables import Key, Tables
from services.payment.provider import Canceled, Charged, Declined
from services.payment.simulated import LEDGER, Behaviour, SimulatedProvider, behaviour_of, tell, to_entry
from tests.support.clock import Clock
from tests.support.eventually import eventually


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

    assert answers == [Declined("declined: 1001 is above the limit of 1000")] * 2
    assert (await books(tables)).charged == 0


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


async def test_charges_and_cancellations_that_cross_leave_nothing_charged(tables: Tables):
    one, other = provider(tables), provider(tables)

    await asyncio.gather(
        *(each.charge("o", 300) for each in (one, other) for _ in range(4)),
        *(each.cancel("o") for each in (one, other) for _ in range(2)),
    )

    entry = await books(tables)
    assert entry.charged == entry.refunded
    assert entry.canceled


async def test_it_can_be_away(tables: Tables):
    await tell(tables, Behaviour(away=True))

    for call in (provider(tables).charge("o", 1), provider(tables).cancel("o"), provider(tables).answers()):
        with pytest.raises(Unavailable):
            await call
    await tell(tables, Behaviour())
    await provider(tables).answers()
    assert await books(tables) is None


async def test_it_can_charge_and_lose_its_answer(tables: Tables):
    await tell(tables, Behaviour(loses_answers=True))

    with pytest.raises(Unavailable):
        await provider(tables).charge("o", 300)

    assert await provider(tables).charge("o", 300) == Charged()
    assert (await books(tables)).charged == 300
    assert await behaviour_of(tables) == Behaviour(loses_answers=True)


@pytest.mark.parametrize(("seconds", "answers"), [(9.0, True), (11.0, False)])
async def test_it_can_be_slow_and_nobody_waits_longer_than_ten_seconds(tables: Tables, seconds, answers):
    clock = Clock()
    await tell(tables, Behaviour(delay_seconds=seconds))
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
