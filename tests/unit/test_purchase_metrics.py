"""Orders count once, where they end, with how long they took and why they failed."""

import pytest

from contract.tickets import CANCELED, PAID, PAYMENT_FAILED, RESERVE_FAILED, RESERVED, CartItem
from sagakit.tables import Key
from sagakit.telemetry.metrics import OTHER
from services.payment.charge import NO_AMOUNT
from services.purchase.metrics import REASONS
from services.purchase.settings import Settings
from services.purchase.storage import TICKET
from services.purchase.ticket import CLIENT, TIMEOUT, Report
from services.purchase.usecases import UseCases
from services.stock.inventory import Item, Shard, reserve
from tests.support.clock import Clock
from tests.support.metrics import Measured
from tests.support.tables import MemoryTables
from tests.support.usecases import REMINDERS, over

COUNT = "saga_order_duration_seconds_count"
DEADLINE = 100.0


class Bench:
    """An order, just checked out."""

    def __init__(self) -> None:
        self.clock, self.measured, self.tables = Clock(), Measured(), MemoryTables()
        settings, runtime = Settings(DEADLINE, 3600), self.clock.runtime()
        self.purchase = over(
            self.tables, UseCases, REMINDERS, settings, self.measured.metrics, runtime=runtime
        )

    async def check_out(self) -> "Bench":
        await self.purchase.create_cart("c")
        await self.purchase.add_item("c", "blue", 3, "x")
        await self.purchase.close_cart("c")
        self.orderid = (await self.purchase.checkout("c")).orderid
        return self

    async def hears(self, status: str, eventid: str, reason: str | None = None) -> None:
        report = Report(eventid, status, self.clock.now(), reason=reason)
        await self.purchase.apply_report(self.orderid, report)

    def ended(self, **labels: str) -> float:
        return self.measured.value(COUNT, **labels)


async def test_an_order_is_opened_once_however_often_it_is_checked_out():
    bench = await Bench().check_out()
    await bench.purchase.checkout("c")

    assert bench.measured.value("saga_orders_opened_total") == 1
    assert bench.ended() == 0


async def test_an_approved_order_counts_once_with_the_time_it_took():
    bench = await Bench().check_out()
    await bench.clock.advance(2)
    await bench.hears(RESERVED, "e1")
    await bench.clock.advance(3)
    await bench.hears(PAID, "e2")
    await bench.hears(PAID, "e2")
    await bench.hears(RESERVED, "e3")

    assert bench.ended(outcome="approved", reason="") == 1
    assert bench.ended() == 1
    assert bench.measured.value("saga_order_duration_seconds_sum") == 5


@pytest.mark.parametrize(("seconds", "in_time"), [(0, "yes"), (60, "yes"), (61, "no")])
async def test_an_order_is_in_time_that_has_ended_within_a_minute(seconds, in_time):
    bench = await Bench().check_out()
    before = bench.measured.samples()
    await bench.clock.advance(seconds)
    await bench.hears(RESERVE_FAILED, "e1")

    name = "saga_orders_ended_total"
    assert [(labels, value) for found, labels, value in before if found == name] == [
        ({"in_time": "yes"}, 0),
        ({"in_time": "no"}, 0),
    ]
    assert bench.measured.value(name, in_time=in_time) == bench.measured.value(name) == 1


@pytest.mark.parametrize(
    ("status", "why", "reason"),
    [
        (RESERVE_FAILED, "sold-out: blue", "sold-out"),
        (PAYMENT_FAILED, "declined: 5 is above the limit of 1", "declined"),
        (PAYMENT_FAILED, "the moon was full", OTHER),
        (RESERVE_FAILED, None, ""),
    ],
)
async def test_a_failed_order_counts_with_a_reason_that_is_known_or_other(status, why, reason):
    bench = await Bench().check_out()
    await bench.hears(status, "e1", why)

    assert bench.ended(outcome=status, reason=reason) == 1


async def test_a_canceled_order_counts_once_however_often_it_is_canceled():
    bench = await Bench().check_out()
    await bench.purchase.cancel_order(bench.orderid)
    await bench.purchase.cancel_order(bench.orderid)

    assert bench.ended(outcome=CANCELED, reason=CLIENT) == bench.ended() == 1


async def test_an_order_past_its_deadline_counts_once_it_is_committed_and_not_when_it_is_decided():
    bench = await Bench().check_out()
    await bench.clock.advance(DEADLINE)
    key = Key(TICKET, bench.orderid)

    changes = bench.purchase.remind(bench.orderid, bench.tables.rows[key].entity, bench.clock.now(), "e")
    decided = bench.ended()
    await bench.purchase._store.transact([key], lambda _: changes)

    assert decided == 0
    assert bench.ended(outcome=CANCELED, reason=TIMEOUT) == 1


def test_every_reason_that_stock_and_payment_give_is_known():
    blue = {"blue": Item("blue", 100, 1)}
    shards = {"blue": {0: Shard(available=1)}}
    refused = [
        reserve("o", wanted, blue, shards, 0).reason
        for wanted in ((), (CartItem("green", 1),), (CartItem("blue", 2),))
    ]

    assert {each.partition(":")[0] for each in (*refused, NO_AMOUNT)} < set(REASONS)
