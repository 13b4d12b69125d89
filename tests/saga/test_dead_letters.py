"""Dead letters on every backend: list, redrive and drop."""

import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from contract.tickets import ORDER_TICKET, PAID, CartItem, TicketMessage
from contract.topology import TOPOLOGY
from sagactl.project import PROJECT
from sagakit.bus import Message
from sagakit.ctl.inspect.connect import open_dead_letters
from sagakit.ctl.inspect.dead_letter_queue import UNVERIFIED, DeadLetterQueue, Handled
from sagakit.ctl.inspect.dead_letters import DeadLetter, Filter
from sagakit.inbox import inbox_kind
from sagakit.tables import Delete, Insert
from services.payment.charge import CHARGED, Charge
from services.payment.storage import charge_entity, payment_key
from services.purchase.storage import ticket_key
from tests.support.eventually import eventually
from tests.support.suite import Suite, running_suite

NOWHERE = Path("none")
ALL = Filter()
PAID_EVENT = Filter(eventid="e1")


async def read(queue: DeadLetterQueue, wanted: Filter = ALL) -> list[DeadLetter]:
    letters: list[DeadLetter] = []
    await queue.read(wanted, letters.append)
    return letters


async def redrive(
    queue: DeadLetterQueue, wanted: Filter = ALL, *, unverified: bool = False
) -> dict[str, str]:
    """Redrive; return what was left and why ("": redriven), by event id."""
    handled: dict[str, str] = {}
    await queue.redrive(
        wanted,
        lambda each: handled.update({each.letter.eventid: each.left}),
        time.time(),
        unverified=unverified,
    )
    return handled


async def drop(queue: DeadLetterQueue, wanted: Filter = ALL) -> list[str]:
    """Drop; return the event ids."""
    handled: list[Handled] = []
    await queue.drop(wanted, handled.append)
    assert not any(each.left for each in handled)
    return [each.letter.eventid for each in handled]


async def publish(suite: Suite, topic: str, *messages: Message) -> None:
    await suite.backend.bus.publish(TOPOLOGY.topics[topic], messages)


def paid(orderid: str, eventid: str, amount: int | None = None) -> Message:
    ticket = TicketMessage(orderid, PAID, (CartItem("blue", 1),), amount)
    return ticket.to_event(eventid, {"traceparent": "kept"}).to_message()


async def found(queue: DeadLetterQueue, count: int, wanted: Filter = ALL) -> list[DeadLetter]:
    """Wait for the dead letters of `count` events, of which some may exist twice."""

    async def all_found() -> list[DeadLetter] | None:
        letters = {letter.eventid: letter for letter in await read(queue, wanted)}
        return list(letters.values()) if len(letters) == count else None

    return await eventually(all_found, seconds=30)


async def test_dead_letters_stay_listed_until_dropped(backend_environ: Mapping[str, str]):
    async with (
        running_suite(backend_environ) as suite,
        open_dead_letters(PROJECT, NOWHERE, backend_environ) as queue,
    ):
        await publish(suite, "delivery", Message(b"rubbish", {"eventid": "e1", "type": ORDER_TICKET}))
        await publish(suite, "payment", paid("unknown", "e2"))

        both = await found(queue, 2)
        again = await found(queue, 2)
        dropped = await drop(queue, Filter(reason="malformed"))
        (left,) = await found(queue, 1)

        assert {letter.eventid for letter in both} == {letter.eventid for letter in again} == {"e1", "e2"}
        assert set(dropped) == {"e1"}
        assert str(left) == (
            "e2  purchase-service.com.example.payment  unknown-order  order unknown: paid"
            "  unverified: payment has no 'paid' on record for it"
        )
        assert left.describe()[-1].strip().startswith('{"orderid": "unknown"')


async def test_redriven_event_is_applied_once_its_cause_is_fixed(
    backend_environ: Mapping[str, str],
):
    """The ticket was missing and exists again."""
    async with (
        running_suite(backend_environ, without=["payment"]) as suite,
        open_dead_letters(PROJECT, NOWHERE, backend_environ) as queue,
    ):
        ticket = await suite.order("c", blue=1)
        await suite.ticket_becomes(ticket.orderid, "reserved")
        row = await delete_ticket(suite, ticket.orderid)
        charge = Charge(ticket.orderid, CHARGED, time.time(), (CartItem("blue", 1),), 100)
        await suite.backend.tables.commit([Insert(payment_key(ticket.orderid), charge_entity(charge, None))])
        await publish(suite, "payment", paid(ticket.orderid, "e1", amount=100))
        # While the ticket is missing, stock's reminders become dead letters too.
        (letter,) = await found(queue, 1, PAID_EVENT)
        await suite.backend.tables.commit([row])

        redriven = await redrive(queue, PAID_EVENT)

        assert letter.topic == TOPOLOGY.topics["payment"]
        assert redriven == {"e1": ""}
        await suite.ticket_becomes(ticket.orderid, "approved")
        assert await read(queue, PAID_EVENT) == []


async def test_forged_dead_letter_is_not_redriven(backend_environ: Mapping[str, str]):
    """Else a publisher of dead letters could publish with the operator's rights to any topic."""
    async with (
        running_suite(backend_environ, without=["payment"]) as suite,
        open_dead_letters(PROJECT, NOWHERE, backend_environ) as queue,
    ):
        ticket = await suite.order("c", blue=3)
        await suite.ticket_becomes(ticket.orderid, "reserved")
        forged = {
            "e-paid": ("purchase", "payment", PAID, 3, 300),
            "e-approved": ("delivery", "purchase", "approved", 99, None),
            "e-cheap": ("payment", "stock", "reserved", 3, 1),
            "e-more": ("stock", "purchase", "pre-approved", 9, None),
        }
        for eventid, (service, publisher, status, units, amount) in forged.items():
            message = TicketMessage(ticket.orderid, status, (CartItem("blue", units),), amount)
            where = {"dead_letter_subscription": f"{service}-service.{TOPOLOGY.topics[publisher]}"}
            letter = message.to_event(eventid, where).to_message()
            await suite.backend.bus.publish(TOPOLOGY.dead_letter_topic, [letter])
        letters = {letter.eventid: letter.unverified for letter in await found(queue, len(forged))}

        left = await redrive(queue)

        assert letters == {
            "e-paid": "payment has no 'paid' on record for it",
            "e-approved": "purchase has no 'approved' on record for it",
            "e-cheap": "stock has another amount on record",
            "e-more": "purchase has other items on record",
        }
        assert left == dict.fromkeys(forged, UNVERIFIED)
        assert (await suite.ticket(ticket.orderid)).status == "reserved"
        assert len(await read(queue)) == len(forged)


async def delete_ticket(suite: Suite, orderid: str) -> Insert:
    """Delete the ticket; return the mutation that restores it."""
    key = ticket_key(orderid)
    entity = (await suite.backend.tables.lookup([key]))[key].entity
    await suite.backend.tables.commit([Delete(key)])
    return Insert(key, entity)


async def test_dead_letter_counts_its_redrives(backend_environ: Mapping[str, str]):
    async with (
        running_suite(backend_environ) as suite,
        open_dead_letters(PROJECT, NOWHERE, backend_environ) as queue,
    ):
        await publish(suite, "payment", paid("unknown", "e1"))
        for times in (0, 1, 2):
            (letter,) = await found(queue, 1)
            assert letter.redriven == times
            assert letter.message.attributes["traceparent"] == "kept"
            await redrive(queue, unverified=True)

        (letter,) = await found(queue, 1)
        assert "redriven 3 times" in str(letter)


async def test_redriven_duplicates_change_nothing(backend_environ: Mapping[str, str]):
    """Even after their inbox rows have expired, because the transitions are idempotent."""
    async with (
        running_suite(backend_environ) as suite,
        open_dead_letters(PROJECT, NOWHERE, backend_environ) as queue,
    ):
        ticket = await suite.order("c", blue=3)
        await suite.ticket_becomes(ticket.orderid, "approved")
        await suite.balances()
        before = await suite.history(ticket.orderid)
        every = [
            ("purchase", "approved", "stock-service"),
            ("stock", "reserved", "payment-service"),
            ("payment", "paid", "purchase-service"),
            ("purchase", "pre-approved", "stock-service"),
        ]
        for number, (topic, status, service) in enumerate(every):
            ticket_then = TicketMessage(ticket.orderid, status, (CartItem("blue", 3),), 300)
            where = {"dead_letter_subscription": f"{service}.{TOPOLOGY.topics[topic]}"}
            letter = ticket_then.to_event(f"e{number}", where).to_message()
            await suite.backend.bus.publish(TOPOLOGY.dead_letter_topic, [letter])
        await found(queue, len(every))
        await empty_inboxes(suite)

        redriven = await redrive(queue)

        assert redriven == {f"e{number}": "" for number in range(len(every))}
        another = await suite.order("after", red=1)
        await suite.ticket_becomes(another.orderid, "approved")
        await suite.balances()
        assert await suite.history(ticket.orderid) == before
        assert (await suite.charge(ticket.orderid)).amount == 300
        assert (await suite.item("blue")).sold == 3


async def test_many_dead_letters_are_handled_page_by_page(backend_environ: Mapping[str, str]):
    count = 3_000 if backend_environ["BACKEND"] == "embedded" else 300
    async with (
        running_suite(backend_environ, without=["purchase"]) as suite,
        open_dead_letters(PROJECT, NOWHERE, backend_environ) as queue,
    ):
        where = {"dead_letter_subscription": f"purchase-service.{TOPOLOGY.topics['payment']}"}
        for start in range(0, count, 100):
            letters = [paid("o", f"e{number}") for number in range(start, start + 100)]
            marked = [replace(each, attributes={**each.attributes, **where}) for each in letters]
            await suite.backend.bus.publish(TOPOLOGY.dead_letter_topic, marked)
        every = {f"e{number}" for number in range(count)}
        assert {letter.eventid for letter in await found(queue, count)} == every

        one = await redrive(queue, PAID_EVENT, unverified=True)
        dropped = await drop(queue)

        assert one == {"e1": ""}
        assert sorted(dropped) == sorted(every - {"e1"})
        assert await read(queue) == []


async def empty_inboxes(suite: Suite) -> None:
    for service in TOPOLOGY.topics:
        kind = inbox_kind(service)
        rows = await suite.backend.tables.page(kind, "", 300)
        for start in range(0, len(rows), 20):
            await suite.backend.tables.commit([Delete(key) for key, _ in rows[start : start + 20]])
