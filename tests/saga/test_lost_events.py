"""Lost messages: reminders replace them, so that every order reaches a final status."""

from collections import Counter
from collections.abc import Callable, Mapping

import pytest

from contract.topology import TOPOLOGY
from rpc import purchase_pb2 as pb
from services.payment.storage import payment_key
from tests.support.eventually import eventually
from tests.support.lossy import losing
from tests.support.suite import Suite, running_suite

QUICK = {"REMINDER_INTERVAL_SECONDS": "0.4", "SWEEP_SECONDS": "0.2"}


def first_of_each(wanted: Callable[[str, str], bool]) -> Callable[[str, str], bool]:
    """Lose the first message of each topic and status that `wanted` holds for."""
    lost: Counter[tuple[str, str]] = Counter()

    def loses(topic: str, status: str) -> bool:
        lost[topic, status] += wanted(topic, status)
        return wanted(topic, status) and lost[topic, status] == 1

    return loses


async def final(suite: Suite, orderid: str) -> pb.OrderTicket:
    async def ended() -> pb.OrderTicket | None:
        ticket = await suite.ticket(orderid)
        return None if ticket.status in {"pre-approved", "reserved"} else ticket

    return await eventually(ended, seconds=30)


# The service and status of the lost event, the ordered item, and the final status.
LOST = [
    ("purchase", "pre-approved", "blue", "approved"),
    ("purchase", "pre-approved", "red", "approved"),
    ("stock", "reserved", "blue", "approved"),
    ("stock", "reserve-failed", "yellow", "reserve-failed"),
    ("stock", "paid", "red", "approved"),
    ("payment", "paid", "blue", "approved"),
    ("payment", "payment-failed", "gold", "payment-failed"),
    ("purchase", "approved", "blue", "approved"),
    ("purchase", "approved", "red", "approved"),
    ("purchase", "payment-failed", "gold", "payment-failed"),
    ("delivery", "delivery-arranged", "blue", "approved"),
]


@pytest.mark.parametrize(("service", "status", "itemid", "end"), LOST)
async def test_order_ends_although_an_event_was_lost(
    service, status, itemid, end, backend_environ: Mapping[str, str]
):
    topic = TOPOLOGY.topics[service]
    between = losing(first_of_each(lambda *lost: lost == (topic, status)))
    async with running_suite({**backend_environ, **QUICK}, between=between) as suite:
        ticket = await suite.order("c", **{itemid: 1})

        assert (await final(suite, ticket.orderid)).status == end
        await suite.balances()


async def test_lost_cancellation_is_still_compensated(backend_environ: Mapping[str, str]):
    between = losing(first_of_each(lambda topic, status: status in {"canceled", "paid"}))
    async with running_suite({**backend_environ, **QUICK}, between=between) as suite:
        ticket = await suite.order("c", blue=3)
        await eventually(lambda: is_charged(suite, ticket.orderid))

        canceled = await suite.purchase.CancelOrder(pb.CancelOrderRequest(orderid=ticket.orderid))

        assert canceled.order_ticket.status == "canceled"
        await suite.balances()
        charge = await suite.charge(ticket.orderid)
        assert (charge.status, charge.amount, charge.refunded) == ("canceled", 300, 300)
        assert (await suite.item("blue")).available == 100_000


async def is_charged(suite: Suite, orderid: str) -> bool:
    return bool(await suite.backend.tables.lookup([payment_key(orderid)]))


@pytest.mark.parametrize("itemid", ["blue", "red"])
async def test_approved_order_is_delivered_although_later_events_were_lost(
    itemid, backend_environ: Mapping[str, str]
):
    between = losing(first_of_each(lambda topic, status: status in {"approved", "delivery-arranged"}))
    async with running_suite({**backend_environ, **QUICK}, between=between) as suite:
        ticket = await suite.order("c", **{itemid: 3})

        await suite.ticket_becomes(ticket.orderid, "approved")

        await suite.balances()
        assert (await suite.item(itemid)).sold == 3


async def test_orders_end_although_the_first_of_every_event_was_lost(backend_environ: Mapping[str, str]):
    """Every service has to publish each of its events twice."""
    between = losing(first_of_each(lambda topic, status: True))
    async with running_suite({**backend_environ, **QUICK}, between=between) as suite:
        tickets = [await suite.order(f"c-{itemid}", **{itemid: 1}) for itemid in ("blue", "red", "gold")]

        ends = [(await final(suite, ticket.orderid)).status for ticket in tickets]

        assert ends == ["approved", "approved", "payment-failed"]
        await suite.balances()
