"""Metrics of orders: counted once, when they end, with their duration and reason."""

import pytest

from contract.tickets import (
    CANCELED,
    DELIVERY_ARRANGED,
    PAID,
    PAYMENT_FAILED,
    RESERVE_FAILED,
    RESERVED,
    CartItem,
)
from sagakit.tables import Key
from sagakit.telemetry.metrics import OTHER
from services.payment.charge import NO_AMOUNT
from services.purchase.metrics import REASONS
from services.purchase.storage import TICKET
from services.purchase.ticket import CLIENT, TIMEOUT
from services.stock.inventory import Item, Shard, reserve
from tests.support.usecases import DEADLINE, PurchaseHarness


@pytest.fixture
async def shop() -> PurchaseHarness:
    return await PurchaseHarness().check_out()


def ended(shop: PurchaseHarness, **labels: str) -> float:
    return shop.measured.value("saga_order_duration_seconds_count", **labels)


async def test_repeated_checkout_counts_one_order(shop: PurchaseHarness):
    await shop.purchase.checkout("c")

    assert shop.measured.value("saga_orders_opened_total") == 1
    assert ended(shop) == 0


async def test_approved_order_counts_once_with_its_duration(shop: PurchaseHarness):
    await shop.clock.advance(2)
    await shop.report(RESERVED, "e1")
    await shop.clock.advance(3)
    for status, eventid in ((PAID, "e2"), (PAID, "e2"), (RESERVED, "e3"), (DELIVERY_ARRANGED, "e4")):
        await shop.report(status, eventid)

    assert ended(shop, outcome="approved", reason="") == ended(shop) == 1
    assert shop.measured.value("saga_order_duration_seconds_sum") == 5


@pytest.mark.parametrize(("seconds", "in_time"), [(0, "yes"), (60, "yes"), (61, "no")])
async def test_order_that_ends_within_a_minute_is_in_time(shop: PurchaseHarness, seconds, in_time):
    name = "saga_orders_ended_total"
    before = [(labels, value) for found, labels, value in shop.measured.samples() if found == name]
    await shop.clock.advance(seconds)

    await shop.report(RESERVE_FAILED)

    assert before == [({"in_time": "yes"}, 0), ({"in_time": "no"}, 0)]
    assert shop.measured.value(name, in_time=in_time) == shop.measured.value(name) == 1


@pytest.mark.parametrize(
    ("status", "published", "reason"),
    [
        (RESERVE_FAILED, "sold-out: blue", "sold-out"),
        (PAYMENT_FAILED, "declined: 5 is above the limit of 1", "declined"),
        (PAYMENT_FAILED, "the moon was full", OTHER),
        (RESERVE_FAILED, None, ""),
    ],
)
async def test_failed_order_counts_with_a_known_reason_or_other(
    shop: PurchaseHarness, status, published, reason
):
    await shop.report(status, reason=published)

    assert ended(shop, outcome=status, reason=reason) == 1


async def test_repeated_cancel_counts_once(shop: PurchaseHarness):
    await shop.purchase.cancel_order(shop.orderid)
    await shop.purchase.cancel_order(shop.orderid)

    assert ended(shop, outcome=CANCELED, reason=CLIENT) == ended(shop) == 1


async def test_order_counts_when_its_end_is_committed_not_when_decided(shop: PurchaseHarness):
    await shop.clock.advance(DEADLINE)
    key = Key(TICKET, shop.orderid)

    changes = shop.purchase.remind(shop.orderid, shop.tables.rows[key].entity, shop.clock.now(), "e")
    decided = ended(shop)
    await shop.purchase._store.transact([key], lambda _: changes)

    assert decided == 0
    assert ended(shop, outcome=CANCELED, reason=TIMEOUT) == 1


def test_every_reason_of_stock_and_payment_is_known():
    blue = {"blue": Item("blue", 100, 1)}
    shards = {"blue": {0: Shard(available=1)}}
    reasons = [
        reserve("o", wanted, blue, shards, 0).reason
        for wanted in ((), (CartItem("green", 1),), (CartItem("blue", 2),))
    ]

    assert {each.partition(":")[0] for each in (*reasons, NO_AMOUNT)} < set(REASONS)
