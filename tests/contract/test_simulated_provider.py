"""The simulated payment provider, over every store its ledger may be in."""

import asyncio

import pytest

from sagakit.errors import Contention, Unavailable
from sagakit.runtime import Runtime
from sagakit.tables import Key, Tables
from sagakit.testing.clock import Clock
from sagakit.testing.contracts import OpenTables
from sagakit.testing.tables import CountedTables
from services.payment.provider import Canceled, Charged, Declined
from services.payment.simulated import (
    CONFLICT_BACKOFF,
    LEDGER,
    Entry,
    FaultSettings,
    SimulatedProvider,
    load_faults,
    save_faults,
    to_entry,
)
from tests.support.eventually import eventually

DECLINED = Declined("declined: 1001 is above the limit of 1000")


def provider(tables: Tables, runtime: Runtime | None = None) -> SimulatedProvider:
    return SimulatedProvider(tables, runtime or Runtime(), limit=1_000)


async def ledger(tables: Tables) -> Entry | None:
    """Return the ledger's entry of the order "o"."""
    row = (await tables.lookup([Key(LEDGER, "o")])).get(Key(LEDGER, "o"))
    return None if row is None else to_entry(row.entity)


@pytest.mark.parametrize(
    ("amounts", "answer", "charged"),
    [((300, 300, 999, 5_000), Charged(), 300), ((1_000,), Charged(), 1_000), ((1_001, 1), DECLINED, 0)],
)
async def test_first_answer_is_repeated_and_charged_once(tables: Tables, amounts, answer, charged):
    answers = [await provider(tables).charge("o", amount) for amount in amounts]

    assert answers == [answer] * len(amounts)
    assert (await ledger(tables)).charged == charged


async def test_cancellation_is_final(tables: Tables):
    """Trap: a refund that is overtaken by the charge it was meant for."""
    assert await provider(tables).cancel("o") == 0

    assert await provider(tables).charge("o", 300) == Canceled()
    assert await provider(tables).charge("another", 300) == Charged()
    assert (await ledger(tables)).charged == 0


@pytest.mark.parametrize(("amount", "refunded"), [(300, 300), (1_001, 0)])
async def test_only_a_charge_is_refunded_and_only_once(tables: Tables, amount, refunded):
    await provider(tables).charge("o", amount)

    assert [await provider(tables).cancel("o") for _ in range(3)] == [refunded] * 3
    assert await provider(tables).charge("o", 300) == Canceled()
    entry = await ledger(tables)
    assert entry.charged == entry.refunded == refunded


@pytest.mark.parametrize("charged_before", [False, True])
async def test_concurrent_charges_and_cancellations_leave_nothing_charged(
    open_tables: OpenTables, charged_before: bool
):
    async with open_tables() as one, open_tables() as two:
        providers = [provider(one), provider(two)]
        if charged_before:
            await providers[0].charge("o", 300)

        answers = await asyncio.gather(
            *(
                providers[n % 2].cancel("o") if n % 3 == 1 else providers[n % 2].charge("o", 300)
                for n in range(20)
            )
        )

        entry = await ledger(one)
        assert entry.canceled
        assert entry.charged == entry.refunded
        assert entry.charged == 300 or not charged_before
        assert {refund for refund in answers if isinstance(refund, int)} == {entry.refunded}
        assert await providers[1].charge("o", 300) == Canceled()


async def test_concurrent_charges_charge_once(open_tables: OpenTables):
    async with open_tables() as one, open_tables() as two:
        providers = [provider(one), provider(two)]

        answers = await asyncio.gather(*(providers[n % 2].charge("o", 300 + n) for n in range(20)))

        assert answers == [Charged()] * 20
        assert (await ledger(one)).charged in range(300, 320)


async def test_unavailable_provider_rejects_every_call(tables: Tables):
    await provider(tables).charge("o", 300)
    await save_faults(tables, FaultSettings(unavailable=True))

    for call in (
        provider(tables).charge("o", 300),
        provider(tables).charge("another", 300),
        provider(tables).cancel("o"),
        provider(tables).check(),
    ):
        with pytest.raises(Unavailable):
            await call
    await save_faults(tables, FaultSettings())
    await provider(tables).check()
    assert await ledger(tables) == Entry(charged=300)
    assert not await tables.lookup([Key(LEDGER, "another")])


@pytest.mark.parametrize(("amount", "answer"), [(300, Charged()), (1_001, DECLINED)])
async def test_dropped_response_leaves_a_decision_that_a_retry_returns(tables: Tables, amount: int, answer):
    await save_faults(tables, FaultSettings(drop_responses=True))

    with pytest.raises(Unavailable):
        await provider(tables).charge("o", amount)
    decided = await ledger(tables)

    assert await provider(tables).charge("o", amount) == answer
    assert await ledger(tables) == decided
    assert await load_faults(tables) == FaultSettings(drop_responses=True)


@pytest.mark.parametrize("drop_responses", [False, True])
async def test_cancellation_overtakes_a_slow_charge(tables: Tables, drop_responses: bool):
    """Only the response to a charge is lost: one that was overtaken charges nothing."""
    clock = Clock()
    await save_faults(tables, FaultSettings(delay_seconds=5, drop_responses=drop_responses))
    charge = asyncio.create_task(provider(tables, clock.runtime()).charge("o", 300))
    await eventually(lambda: clock.sleepers)

    refunded = await provider(tables, clock.runtime()).cancel("o")
    await clock.advance(6)

    assert (refunded, await charge) == (0, Canceled())
    assert (await ledger(tables)).charged == 0


async def test_repeated_charge_is_not_delayed(tables: Tables):
    await provider(tables).charge("o", 300)
    await save_faults(tables, FaultSettings(delay_seconds=60))

    assert await provider(tables, Clock().runtime()).charge("o", 300) == Charged()


@pytest.mark.parametrize(("seconds", "charged"), [(9.0, True), (10.0, True), (10.1, False), (99.0, False)])
async def test_slow_charge_times_out_after_ten_seconds(tables: Tables, seconds, charged):
    clock = Clock()
    await save_faults(tables, FaultSettings(delay_seconds=seconds))
    charge = asyncio.create_task(provider(tables, clock.runtime()).charge("o", 300))
    await eventually(lambda: clock.sleepers)

    await clock.advance(10.5)

    if charged:
        assert await charge == Charged()
        assert await ledger(tables) == Entry(charged=300)
    else:
        with pytest.raises(Unavailable):
            await charge
        assert await ledger(tables) is None


async def test_endless_conflicts_are_reported_as_unavailable(tables: Tables):
    class ConflictingTables(CountedTables):
        async def commit(self, mutations) -> None:
            raise Contention("another writer committed first")

    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    busy = provider(ConflictingTables(tables), Runtime(sleep=sleep))

    for call in (busy.charge("o", 300), busy.cancel("o")):
        with pytest.raises(Unavailable):
            await call
    assert await ledger(tables) is None
    # A charge without a delay sleeps for 0 s.
    assert len([each for each in pauses if each > 0]) == 2 * CONFLICT_BACKOFF.attempts
