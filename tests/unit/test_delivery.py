"""Deliveries: arranged once, and said again to whoever asks again."""

from contract.tickets import APPROVED, DELIVERY_ARRANGED, CartItem, TicketMessage
from sagakit.consumer import Outcome
from services.delivery.usecases import UseCases
from tests.support.tables import MemoryTables
from tests.support.usecases import over, said

TICKET = TicketMessage("o", APPROVED, (CartItem("blue", 3),), 300)


async def test_a_delivery_is_arranged_once_and_said_again_to_whoever_asks_again():
    tables = MemoryTables()
    delivery = over(tables, UseCases)

    outcomes = [await delivery.arrange(eventid, TICKET) for eventid in ("e1", "e1", "e2")]

    assert outcomes == [Outcome.APPLIED, Outcome.REPEATED, Outcome.APPLIED]
    assert [message.status for message in said(tables.rows)] == [DELIVERY_ARRANGED] * 2
    assert (await delivery.get_delivery("o")).items == TICKET.cart_items
    assert [key.name for key in tables.rows if key.kind == "Delivery"] == ["o"]
