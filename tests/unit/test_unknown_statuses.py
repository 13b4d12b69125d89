"""An entity with a status of a newer release is left to the processes that know it, by every service."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from contract.tickets import APPROVED, FAILED, PRE_APPROVED, RESERVED, CartItem, TicketMessage
from sagakit.consumer import Outcome
from sagakit.errors import FailedPrecondition
from sagakit.reminders import due_property
from sagakit.tables import Entity, Key, Update
from services.delivery.storage import delivery_key
from services.delivery.usecases import REACTIONS as DELIVERY
from services.delivery.usecases import UseCases as Delivery
from services.payment.storage import payment_key
from services.payment.usecases import REACTIONS as PAYMENT
from services.payment.usecases import UseCases as Payment
from services.purchase.storage import ticket_key
from services.purchase.ticket import REPORTS
from services.purchase.usecases import UseCases as Purchase
from services.stock.catalogue import Catalogue
from services.stock.shards import ShardHints
from services.stock.storage import reservation_key
from services.stock.usecases import REACTIONS as STOCK
from services.stock.usecases import UseCases as Stock
from tests.support.payment import FakeProvider
from tests.support.usecases import REMINDERS, Harness, PurchaseHarness

UNKNOWN = "teleported"
BLUE = (CartItem("blue", 3),)


def an_event(status: str) -> TicketMessage:
    return TicketMessage("o", status, BLUE, 300)


@dataclass
class Participant:
    """A service whose record of the order "o" has an unknown status."""

    shop: Harness
    usecases: Any
    key: Key
    handlers: Mapping[str, Callable[[], Awaitable[Outcome]]]

    @property
    def entity(self) -> Entity:
        return self.shop.tables.rows[self.key].entity

    async def turn_unknown(self) -> "Participant":
        row = self.shop.tables.rows[self.key]
        entity = {**row.entity, "status": UNKNOWN, **due_property(self.key.name, 0)}
        await self.shop.tables.commit([Update(self.key, entity, row.version)])
        return self


def participant(shop: Harness, usecases: Any, key: Key, reactions: Mapping[str, Any]) -> Participant:
    def handler(status: str) -> Callable[[], Awaitable[Outcome]]:
        return lambda: reactions[status].do(usecases, f"event-{status}", an_event(status))

    return Participant(shop, usecases, key, {status: handler(status) for status in reactions})


async def purchase() -> Participant:
    shop = await PurchaseHarness().check_out()
    reports = {status: lambda status=status: shop.report(status) for status in REPORTS}
    return await Participant(shop, shop.purchase, ticket_key(shop.orderid), reports).turn_unknown()


async def stock() -> Participant:
    shop, hints = Harness(), ShardHints()
    usecases = shop.use_cases(Stock, REMINDERS, hints)
    catalogue = shop.use_cases(lambda store, *_: Catalogue(store, hints))
    await catalogue.put_item("blue", 100, 10, False, False, 1)
    await usecases.reserve("e", an_event(PRE_APPROVED))
    return await participant(shop, usecases, reservation_key("o"), STOCK).turn_unknown()


async def payment() -> Participant:
    shop = Harness()
    usecases = shop.use_cases(Payment, REMINDERS, FakeProvider())
    await usecases.charge("e", an_event(RESERVED))
    return await participant(shop, usecases, payment_key("o"), PAYMENT).turn_unknown()


async def delivery() -> Participant:
    shop = Harness()
    usecases = shop.use_cases(Delivery)
    await usecases.arrange("e", an_event(APPROVED))
    return await participant(shop, usecases, delivery_key("o"), DELIVERY).turn_unknown()


ALL = [purchase, stock, payment, delivery]


@pytest.mark.parametrize("service", ALL)
async def test_events_are_left_to_newer_replicas(service: Callable[[], Awaitable[Participant]]):
    it = await service()
    rows = dict(it.shop.tables.rows)

    outcomes = {status: await handle() for status, handle in it.handlers.items()}

    assert outcomes == dict.fromkeys(outcomes, Outcome.UNKNOWN)
    assert outcomes
    assert it.shop.tables.rows == rows, "nothing is written or published"


@pytest.mark.parametrize("service", [purchase, stock, payment])
async def test_reminders_are_left_to_newer_replicas(service: Callable[[], Awaitable[Participant]]):
    it = await service()

    changes = it.usecases.remind(it.key.name, it.entity, it.shop.clock.now(), "e")

    assert changes.unchanged
    assert changes.result is None


async def test_order_with_an_unknown_status_is_shown_and_not_canceled():
    it = await purchase()
    usecases: Purchase = it.usecases

    with pytest.raises(FailedPrecondition, match="the order is teleported: it cannot be canceled"):
        await usecases.cancel_order(it.key.name)

    assert (await usecases.get_order_ticket(it.key.name)).status == UNKNOWN


def test_every_failed_status_is_handled_by_stock_and_payment():
    assert STOCK.keys() >= FAILED
    assert PAYMENT.keys() >= FAILED
