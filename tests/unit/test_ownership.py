"""Which callers may read the records of stock, payment and delivery about an order."""

from dataclasses import replace

import pytest

from contract.ownership import may_read, owner_digest
from contract.tickets import APPROVED, CANCELED, PRE_APPROVED, RESERVED, CartItem, TicketMessage
from sagakit.auth.caller import Caller, acting_as
from sagakit.errors import NotFound
from services.delivery.usecases import UseCases as Delivery
from services.payment.usecases import UseCases as Payment
from services.stock.shards import ShardHints
from services.stock.usecases import UseCases as Stock
from tests.support.payment import FakeProvider
from tests.support.usecases import REMINDERS, Harness

ALICE, BOB, ROOT = (
    Caller("alice", operator=False),
    Caller("bob", operator=False),
    Caller("root", operator=True),
)
DIGEST = owner_digest("o", "alice")


def a_ticket(status: str, digest: str | None = DIGEST) -> TicketMessage:
    return TicketMessage("o", status, (CartItem("blue", 3),), 300, owner_digest=digest)


def test_owner_and_operators_may_read_a_record():
    readers = []
    for caller in (ALICE, BOB, ROOT, Caller("", operator=False)):
        with acting_as(caller):
            readers += [caller] if may_read("o", DIGEST) else []

    assert readers == [ALICE, ROOT]


def test_record_without_an_owner_is_for_operators():
    for caller in (ALICE, Caller("", operator=False)):
        with acting_as(caller):
            assert not may_read("o", None)
            assert not may_read("o", "")
    assert may_read("o", None), "authentication is disabled"


def test_digest_differs_by_order_and_owner_and_does_not_contain_the_owner():
    digests = {owner_digest(orderid, sub) for orderid in ("o", "p") for sub in ("alice", "bob", "ä" * 255)}

    assert len(digests) == 6
    assert all(len(each) == 32 and each.isalnum() for each in digests)
    assert owner_digest("o", "") is None


def test_events_carry_the_digest():
    event = a_ticket(RESERVED).to_event("e", {})

    assert TicketMessage.from_event(event).owner_digest == DIGEST
    assert b"owner" not in a_ticket(RESERVED, None).to_event("e", {}).body


async def read_by(read, caller: Caller) -> bool:
    with acting_as(caller):
        try:
            await read("o")
        except NotFound as error:
            assert error.reason == "unknown-order"
            return False
    return True


async def test_delivery_is_for_the_owner():
    delivery = Harness().use_cases(Delivery)
    await delivery.arrange("e1", a_ticket(APPROVED))

    assert [await read_by(delivery.get_delivery, each) for each in (ALICE, BOB, ROOT)] == [True, False, True]


def a_stock(shop: Harness) -> Stock:
    return shop.use_cases(Stock, REMINDERS, ShardHints())


async def test_reservation_is_for_the_owner_and_passes_the_digest_on():
    shop = Harness()
    stock = a_stock(shop)
    await stock.reserve("e1", a_ticket(PRE_APPROVED))

    assert [await read_by(stock.get_reservation, each) for each in (ALICE, BOB, ROOT)] == [True, False, True]
    assert [each.owner_digest for each in shop.published] == [DIGEST]


async def test_tombstone_of_a_reservation_is_for_the_owner():
    stock = a_stock(Harness())
    await stock.release("e1", a_ticket(CANCELED))

    assert [await read_by(stock.get_reservation, each) for each in (ALICE, BOB, ROOT)] == [True, False, True]


def a_payment(shop: Harness) -> Payment:
    return shop.use_cases(Payment, REMINDERS, FakeProvider())


@pytest.mark.parametrize("amount", [300, 0, None])
async def test_payment_is_for_the_owner(amount):
    payment = a_payment(Harness())
    await payment.charge("e1", replace(a_ticket(RESERVED), amount=amount))

    assert [await read_by(payment.get_payment, each) for each in (ALICE, BOB, ROOT)] == [True, False, True]


async def test_tombstone_of_a_payment_is_for_the_owner():
    payment = a_payment(Harness())
    await payment.cancel("e1", a_ticket(CANCELED))

    assert [await read_by(payment.get_payment, each) for each in (ALICE, BOB, ROOT)] == [True, False, True]


@pytest.mark.parametrize("status", [APPROVED, CANCELED])
async def test_payment_learns_the_owner_from_purchase_if_stock_does_not_pass_it_on(status):
    payment = a_payment(Harness())
    await payment.charge("e1", a_ticket(RESERVED, None))
    assert not await read_by(payment.get_payment, ALICE)

    await (payment.settle if status == APPROVED else payment.cancel)("e2", a_ticket(status))

    assert [await read_by(payment.get_payment, each) for each in (ALICE, BOB, ROOT)] == [True, False, True]
