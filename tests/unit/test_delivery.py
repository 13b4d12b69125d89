"""Deliveries: arranged once, and said again to whoever asks again."""

import asyncio
from dataclasses import replace

import pytest

from contract.tickets import APPROVED, DELIVERY_ARRANGED, CartItem, TicketMessage
from sagakit.consumer import Outcome
from sagakit.errors import NotFound
from services.delivery.storage import delivery_key
from services.delivery.usecases import UseCases
from tests.support.clock import Clock, impatient
from tests.support.tables import MemoryTables
from tests.support.usecases import OUTBOX, over, said

TICKET = TicketMessage("o", APPROVED, (CartItem("blue", 3),), 300)


async def test_a_delivery_is_arranged_once_and_said_again_to_whoever_asks_again():
    tables = MemoryTables()
    delivery = over(tables, UseCases)

    outcomes = [await delivery.arrange(eventid, TICKET) for eventid in ("e1", "e1", "e2")]

    assert outcomes == [Outcome.APPLIED, Outcome.DUPLICATE, Outcome.APPLIED]
    assert [message.status for message in said(tables.rows)] == [DELIVERY_ARRANGED] * 2
    assert (await delivery.get_delivery("o")).items == TICKET.cart_items
    assert [key.name for key in tables.rows if key.kind == "Delivery"] == ["o"]
    rows = [row.entity for key, row in tables.rows.items() if key.kind == OUTBOX]
    assert [set(row["attributes"]) for row in rows] == [{"time"}, {"time"}]


async def test_a_delivery_stays_as_it_was_arranged_whatever_is_asked_later():
    clock, tables = Clock(), MemoryTables()
    runtime = replace(clock.runtime(), sleep=lambda _: asyncio.sleep(0))
    delivery = over(tables, UseCases, runtime=runtime)
    await delivery.arrange("e1", TICKET)
    arranged = await delivery.get_delivery("o")
    row = tables.rows[delivery_key("o")]
    await clock.advance(60)

    await delivery.arrange("e2", replace(TICKET, cart_items=()))

    assert await delivery.get_delivery("o") == arranged
    assert tables.rows[delivery_key("o")] is row, "not even written again"
    assert [message.cart_items for message in said(tables.rows)] == [TICKET.cart_items] * 2


async def test_processes_that_hear_of_an_approval_at_once_arrange_one_delivery():
    tables = MemoryTables()
    processes = [over(tables, UseCases, runtime=impatient()) for _ in range(2)]

    outcomes = await asyncio.gather(*(processes[n % 2].arrange(f"e{n // 2}", TICKET) for n in range(6)))

    assert sorted(outcomes) == [Outcome.APPLIED] * 3 + [Outcome.DUPLICATE] * 3
    assert len(said(tables.rows)) == 3
    assert [key.name for key in tables.rows if key.kind == "Delivery"] == ["o"]


async def test_what_was_never_arranged_is_not_found():
    with pytest.raises(NotFound):
        await over(MemoryTables(), UseCases).get_delivery("o")
