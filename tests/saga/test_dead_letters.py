"""Dead letters on every backend: list, redrive and drop."""

import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from contract import topology
from contract.tickets import ORDER_TICKET, PAID, CartItem, TicketMessage
from sagactl.inspect import dead_letters
from sagactl.inspect.dead_letters import Filter
from sagakit.backends import open_pull_subscription
from sagakit.bus import Message, PullSubscription
from sagakit.inbox import inbox_kind
from sagakit.settings import BackendSettings
from sagakit.tables import Delete, Insert
from services.purchase.storage import ticket_key
from tests.support.eventually import eventually
from tests.support.suite import Suite, running_suite

ALL = Filter()
PAID_EVENT = Filter(eventid="e1")


@asynccontextmanager
async def dead_letter_subscription(environ: Mapping[str, str]) -> AsyncIterator[PullSubscription]:
    settings = BackendSettings.from_environ(environ)
    async with open_pull_subscription(settings, topology.DEAD_LETTER_SUBSCRIPTION) as subscription:
        yield subscription


async def publish(suite: Suite, topic: str, *messages: Message) -> None:
    await suite.backend.bus.publish(topology.TOPICS[topic], messages)


def paid(orderid: str, eventid: str) -> Message:
    ticket = TicketMessage(orderid, PAID, (CartItem("blue", 1),))
    return ticket.to_event(eventid, {"traceparent": "kept"}).to_message()


async def found(
    subscription: PullSubscription, count: int, wanted: Filter = ALL
) -> list[dead_letters.DeadLetter]:
    """Wait for the dead letters of `count` events, of which some may exist twice."""

    async def all_found() -> list[dead_letters.DeadLetter] | None:
        read = {letter.eventid: letter for letter in await dead_letters.read(subscription, wanted)}
        return list(read.values()) if len(read) == count else None

    return await eventually(all_found, seconds=30)


async def test_dead_letters_stay_listed_until_dropped(backend_environ: Mapping[str, str]):
    async with (
        running_suite(backend_environ) as suite,
        dead_letter_subscription(backend_environ) as subscription,
    ):
        await publish(suite, "delivery", Message(b"rubbish", {"eventid": "e1", "type": ORDER_TICKET}))
        await publish(suite, "payment", paid("unknown", "e2"))

        both = await found(subscription, 2)
        again = await found(subscription, 2)
        dropped = await dead_letters.drop(subscription, Filter(reason="malformed"))
        (left,) = await found(subscription, 1)

        assert {letter.eventid for letter in both} == {letter.eventid for letter in again} == {"e1", "e2"}
        assert {letter.eventid for letter in dropped} == {"e1"}
        assert str(left) == ("e2  purchase-service.com.example.payment  unknown-order  order unknown: paid")
        assert left.describe()[-1].strip().startswith('{"orderid": "unknown"')


async def test_redriven_event_is_applied_once_its_cause_is_fixed(
    backend_environ: Mapping[str, str],
):
    """The ticket was missing and exists again."""
    async with (
        running_suite(backend_environ, without=["payment"]) as suite,
        dead_letter_subscription(backend_environ) as subscription,
    ):
        ticket = await suite.order("c", blue=1)
        await suite.ticket_becomes(ticket.orderid, "reserved")
        row = await delete_ticket(suite, ticket.orderid)
        await publish(suite, "payment", paid(ticket.orderid, "e1"))
        # While the ticket is missing, stock's reminders become dead letters too.
        await found(subscription, 1, PAID_EVENT)
        await suite.backend.tables.commit([row])

        redriven = await dead_letters.redrive(subscription, suite.backend.bus, PAID_EVENT, time.time())

        assert {letter.topic for letter in redriven} == {topology.TOPICS["payment"]}
        await suite.ticket_becomes(ticket.orderid, "approved")
        assert await dead_letters.read(subscription, PAID_EVENT) == []


async def delete_ticket(suite: Suite, orderid: str) -> Insert:
    """Delete the ticket; return the mutation that restores it."""
    key = ticket_key(orderid)
    entity = (await suite.backend.tables.lookup([key]))[key].entity
    await suite.backend.tables.commit([Delete(key)])
    return Insert(key, entity)


async def test_dead_letter_counts_its_redrives(backend_environ: Mapping[str, str]):
    async with (
        running_suite(backend_environ) as suite,
        dead_letter_subscription(backend_environ) as subscription,
    ):
        await publish(suite, "payment", paid("unknown", "e1"))
        for times in (0, 1, 2):
            (letter,) = await found(subscription, 1)
            assert letter.redriven == times
            assert letter.message.attributes["traceparent"] == "kept"
            await dead_letters.redrive(subscription, suite.backend.bus, ALL, time.time())

        (letter,) = await found(subscription, 1)
        assert str(letter).endswith("redriven 3 times")


async def test_redriven_duplicates_change_nothing(backend_environ: Mapping[str, str]):
    """Even after their inbox rows have expired, because the transitions are idempotent."""
    async with (
        running_suite(backend_environ) as suite,
        dead_letter_subscription(backend_environ) as subscription,
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
            where = {"dead_letter_subscription": f"{service}.{topology.TOPICS[topic]}"}
            letter = ticket_then.to_event(f"e{number}", where).to_message()
            await suite.backend.bus.publish(topology.DEAD_LETTER_TOPIC, [letter])
        await found(subscription, len(every))
        await empty_inboxes(suite)

        redriven = await dead_letters.redrive(subscription, suite.backend.bus, ALL, time.time())

        assert len({letter.eventid for letter in redriven}) == len(every)
        another = await suite.order("after", red=1)
        await suite.ticket_becomes(another.orderid, "approved")
        await suite.balances()
        assert await suite.history(ticket.orderid) == before
        assert (await suite.charge(ticket.orderid)).amount == 300
        assert (await suite.item("blue")).sold == 3


async def empty_inboxes(suite: Suite) -> None:
    for service in topology.TOPICS:
        kind = inbox_kind(service)
        rows = await suite.backend.tables.page(kind, "", 300)
        for start in range(0, len(rows), 20):
            await suite.backend.tables.commit([Delete(key) for key, _ in rows[start : start + 20]])
