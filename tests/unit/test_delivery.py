"""Deliveries: arranged once; a repeated request gets the same reply."""

import asyncio
from dataclasses import replace

import pytest

from contract.tickets import APPROVED, DELIVERY_ARRANGED, CartItem, TicketMessage
from sagakit.consumer import Outcome
from sagakit.errors import Poison
from services.delivery.storage import delivery_key
from services.delivery.usecases import UseCases
from tests.support.usecases import Harness

TICKET = TicketMessage("o", APPROVED, (CartItem("blue", 3),), 300)
REPLY = TicketMessage("o", DELIVERY_ARRANGED, TICKET.cart_items)


async def test_repeated_approval_gets_the_same_reply_and_one_delivery():
    shop = Harness()
    delivery = shop.use_cases(UseCases)

    outcomes = [await delivery.arrange(eventid, TICKET) for eventid in ("e1", "e1", "e2")]

    assert outcomes == [Outcome.APPLIED, Outcome.DUPLICATE, Outcome.APPLIED]
    assert shop.published == [REPLY] * 2
    assert [set(each) for each in shop.attributes] == [{"time", "status"}] * 2
    assert (await delivery.get_delivery("o")).items == TICKET.cart_items


async def test_later_requests_do_not_change_a_delivery():
    shop = Harness()
    delivery = shop.use_cases(UseCases)
    await delivery.arrange("e1", TICKET)
    row = shop.tables.rows[delivery_key("o")]
    await shop.clock.advance(60)

    await delivery.arrange("e2", replace(TICKET, cart_items=()))

    assert shop.tables.rows[delivery_key("o")] is row, "not even rewritten"
    assert shop.published == [REPLY] * 2


async def test_approval_of_other_items_than_were_delivered_is_a_dead_letter():
    shop = Harness()
    delivery = shop.use_cases(UseCases)
    await delivery.arrange("e1", TICKET)

    with pytest.raises(Poison, match="contradicts-record: items"):
        await delivery.arrange("e2", replace(TICKET, cart_items=(CartItem("blue", 99),)))

    assert shop.published == [REPLY]


async def test_concurrent_approvals_arrange_one_delivery():
    shop = Harness()
    processes = [shop.use_cases(UseCases) for _ in range(2)]

    outcomes = await asyncio.gather(*(processes[n % 2].arrange(f"e{n // 2}", TICKET) for n in range(6)))

    assert sorted(outcomes) == [Outcome.APPLIED] * 3 + [Outcome.DUPLICATE] * 3
    assert shop.published == [REPLY] * 3
    assert [key.name for key in shop.tables.rows if key.kind == "Delivery"] == ["o"]
