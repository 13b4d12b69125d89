"""Events that only another service may publish are rejected: they become dead letters."""

import json
import uuid
from collections.abc import Mapping

import grpc
import pytest

from contract.tickets import ORDER_TICKET
from contract.topology import TOPOLOGY
from sagakit.bus import Delivery, Message
from tests.support.eventually import eventually
from tests.support.suite import Suite, running_suite


def an_event(orderid: str, status: str, count: int = 3) -> Message:
    body = {"orderid": orderid, "status": status, "cart_items": [{"itemid": "blue", "count": count}]}
    body["amount"] = 300
    return Message(json.dumps(body).encode(), {"eventid": str(uuid.uuid4()), "type": ORDER_TICKET})


async def publish(suite: Suite, publisher: str, message: Message) -> None:
    await suite.backend.bus.publish(TOPOLOGY.topics[publisher], [message])


def dead_letters(suite: Suite) -> list[tuple[str, str]]:
    """Subscribe; return the list to which (subscription, reason) of each dead letter are appended."""
    received: list[tuple[str, str]] = []

    def receive(delivery: Delivery) -> None:
        attributes = delivery.message.attributes
        received.append((attributes["dead_letter_subscription"], attributes["dead_letter_reason"]))
        delivery.ack()

    suite.backend.bus.subscribe(TOPOLOGY.dead_letter_subscription, receive, 10)
    return received


FORGED = [("delivery", "paid"), ("delivery", "payment-failed"), ("payment", "reserved")]


@pytest.mark.parametrize(("publisher", "status"), FORGED)
async def test_forged_report_changes_no_order(
    backend_environ: Mapping[str, str], publisher: str, status: str
):
    async with running_suite(backend_environ, without=["payment"]) as suite:
        letters = dead_letters(suite)
        ticket = await suite.order("c", blue=3)
        await suite.ticket_becomes(ticket.orderid, "reserved")

        await publish(suite, publisher, an_event(ticket.orderid, status))

        await eventually(lambda: letters)
        assert letters == [
            (f"purchase-service.com.example.{publisher}", f"not-published-by: {publisher} {status}")
        ]
        assert await suite.history(ticket.orderid) == ["pre-approved", "reserved"]


async def test_forged_reserved_charges_nothing(backend_environ: Mapping[str, str]):
    """Payment charges for what stock has reserved; here purchase's identity publishes it."""
    async with running_suite(backend_environ) as suite:
        letters = dead_letters(suite)
        receivers = [each for each in TOPOLOGY.services if "purchase" in each.subscribes_to]

        await publish(suite, "purchase", an_event("forged", "reserved"))

        await eventually(lambda: len(letters) == len(receivers))
        assert {reason for _, reason in letters} == {"not-published-by: purchase reserved"}
        with pytest.raises(grpc.aio.AioRpcError, match="nothing was decided"):
            await suite.charge("forged")


async def test_forged_approval_ships_nothing(backend_environ: Mapping[str, str]):
    async with running_suite(backend_environ, without=["payment"]) as suite:
        letters = dead_letters(suite)
        ticket = await suite.order("c", blue=3)
        await suite.ticket_becomes(ticket.orderid, "reserved")

        await publish(suite, "stock", an_event(ticket.orderid, "approved", count=99))
        await publish(suite, "delivery", an_event(ticket.orderid, "approved", count=99))

        await eventually(lambda: len(letters) == 2)
        assert (await suite.reservation(ticket.orderid)).status == "reserved"
        with pytest.raises(grpc.aio.AioRpcError, match="no delivery was arranged"):
            await suite.shipment(ticket.orderid)


async def test_approval_with_other_items_is_noticed(
    backend_environ: Mapping[str, str],
):
    """With purchase's own identity: delivery has no record to compare it with, stock and purchase have."""
    async with running_suite(backend_environ, without=["payment"]) as suite:
        letters = dead_letters(suite)
        ticket = await suite.order("c", blue=3)
        await suite.ticket_becomes(ticket.orderid, "reserved")

        await publish(suite, "purchase", an_event(ticket.orderid, "approved", count=99))

        await eventually(lambda: len(letters) == 2)
        assert sorted(letters) == [
            ("purchase-service.com.example.delivery", "contradicts-record: items"),
            ("stock-service.com.example.purchase", "contradicts-record: items"),
        ]
        assert (await suite.reservation(ticket.orderid)).status == "reserved"
