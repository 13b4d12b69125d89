"""The saga from cart to final status, on every backend: services wired as in production, in one process."""

import asyncio
import json
import time
import uuid
from collections.abc import Mapping

import grpc
import pytest

from contract.tickets import ORDER_TICKET, PUBLISHED_BY
from contract.topology import TOPOLOGY
from rpc import purchase_pb2 as pb
from sagakit.backends import open_provisioner
from sagakit.bus import Delivery, Message, SubscriptionSpec
from sagakit.ctl.cli.provision import ensure_provisioned
from sagakit.due import encode_due
from sagakit.tables import Insert, Key
from tests.support.eventually import eventually
from tests.support.suite import Suite, running_suite


def a_report(orderid: str, status: str, eventid: str | None = None) -> Message:
    """Return a report as a service in another language would publish it, from the wire contract alone."""
    body = {"orderid": orderid, "status": status, "cart_items": [{"itemid": "blue", "count": 1}]}
    return Message(json.dumps(body).encode(), {"eventid": eventid or str(uuid.uuid4()), "type": ORDER_TICKET})


def listen(suite: Suite, subscription: str) -> list[Message]:
    """Subscribe; return the list to which received messages are appended."""
    received: list[Message] = []

    def receive(delivery: Delivery) -> None:
        received.append(delivery.message)
        delivery.ack()

    suite.backend.bus.subscribe(subscription, receive, 100)
    return received


async def test_orders_end_as_their_items_determine(backend_environ: Mapping[str, str]):
    async with running_suite(backend_environ) as suite:
        mixed = await suite.order("mixed", blue=3, red=2)
        blue = await suite.order("blue", blue=3)
        yellow = await suite.order("yellow", blue=1, yellow=1)
        unknown = await suite.order("unknown", purple=1)
        gold = await suite.order("gold", gold=1)

        assert mixed.status == "pre-approved"
        assert [(item.itemid, item.count) for item in mixed.cart_items] == [("blue", 3), ("red", 2)]
        assert not (await suite.ticket_becomes(mixed.orderid, "approved")).HasField("amount")
        assert (await suite.ticket_becomes(blue.orderid, "approved")).amount == 300
        assert (await suite.ticket_becomes(yellow.orderid, "reserve-failed")).reason == "sold-out: yellow"
        rejected = await suite.ticket_becomes(unknown.orderid, "reserve-failed")
        assert rejected.reason == "unknown-item: purple"
        declined = await suite.ticket_becomes(gold.orderid, "payment-failed")
        assert declined.reason == "declined: 1000000 is above the limit of 100000"
        await suite.balances()
        assert (await suite.charge(blue.orderid)).status == "settled"
        assert (await suite.charge(blue.orderid)).amount == 300
        assert (await suite.shipment(blue.orderid)).items[0].count == 3
        assert (await suite.reservation(yellow.orderid)).status == "refused"
        assert (await suite.reservation(gold.orderid)).status == "released"
        sold = {itemid: (await suite.item(itemid)).sold for itemid in ("blue", "red", "yellow", "gold")}
        assert sold == {"blue": 6, "red": 2, "yellow": 0, "gold": 0}
        assert (await suite.item("gold")).available == 10
        history = await suite.history(blue.orderid)
        # `paid` may arrive before `reserved`.
        assert (history[0], history[-2:]) == ("pre-approved", ["approved", "delivery-arranged"])
        for orderid in (mixed.orderid, yellow.orderid):
            with pytest.raises(grpc.aio.AioRpcError) as rejected:
                await suite.charge(orderid)
            assert rejected.value.code() is grpc.StatusCode.NOT_FOUND


async def test_concurrent_checkouts_of_a_cart_open_one_order(backend_environ: Mapping[str, str]):
    async with running_suite(backend_environ, replicas=2) as suite:
        await suite.purchase.CreateCart(pb.CreateCartRequest(cartid="c"))
        await suite.purchase.AddItem(pb.AddItemRequest(cartid="c", itemid="red", count=1))
        await suite.purchase.CloseCart(pb.CloseCartRequest(cartid="c"))

        answers = await asyncio.gather(
            *(suite.purchase.Checkout(pb.CheckoutRequest(cartid="c")) for _ in range(10))
        )

        cart = await suite.purchase.CreateCart(pb.CreateCartRequest(cartid="c"))
        closed = await suite.purchase.CloseCart(pb.CloseCartRequest(cartid="c"))

        assert len({answer.order_ticket.orderid for answer in answers}) == 1
        assert cart.cart.status == closed.cart.status == "checked-out"
        await suite.ticket_becomes(answers[0].order_ticket.orderid, "approved")
        await suite.balances()
        assert (await suite.item("red")).sold == 1


async def test_concurrent_calls_with_one_commandid_return_the_same_response(
    backend_environ: Mapping[str, str],
):
    async with running_suite(backend_environ, replicas=2) as suite:
        await suite.purchase.CreateCart(pb.CreateCartRequest(cartid="c"))
        sets = [pb.SetItemRequest(cartid="c", itemid="red", count=n, commandid="k") for n in (1, 2)]
        concurrent = await asyncio.gather(
            *(suite.purchase.SetItem(request) for request in sets * 4), return_exceptions=True
        )
        await suite.purchase.CloseCart(pb.CloseCartRequest(cartid="c"))
        checkout = pb.CheckoutRequest(cartid="c", commandid="checkout")
        orders = await asyncio.gather(*(suite.purchase.Checkout(checkout) for _ in range(8)))
        await suite.ticket_becomes(orders[0].order_ticket.orderid, "approved")
        late = await suite.purchase.Checkout(checkout)

    done = [answer for answer in concurrent if isinstance(answer, pb.SetItemResponse)]
    refused = [answer for answer in concurrent if answer not in done]
    assert (len(done), len(refused)) == (4, 4)
    assert all(answer == done[0] for answer in done)
    assert {error.code() for error in refused} == {grpc.StatusCode.INVALID_ARGUMENT}
    assert all(answer == orders[0] for answer in (*orders, late))


async def test_payment_can_be_replaced_by_a_service_in_another_language(backend_environ: Mapping[str, str]):
    """A report is applied once, whether it is repeated with the same eventid or with another one."""
    async with running_suite(backend_environ, without=["payment"]) as suite:
        ticket = await suite.order("gold", gold=1)
        await suite.ticket_becomes(ticket.orderid, "reserved")
        report = a_report(ticket.orderid, "paid")

        for message in (report, report, a_report(ticket.orderid, "paid")):
            await suite.backend.bus.publish(TOPOLOGY.topics["payment"], [message])

        await suite.ticket_becomes(ticket.orderid, "approved")
        for late in (a_report(ticket.orderid, "payment-failed"), a_report(ticket.orderid, "cancellation")):
            await suite.backend.bus.publish(TOPOLOGY.topics["payment"], [late])
        another = await suite.order("after", red=1)
        await suite.ticket_becomes(another.orderid, "approved")
        await eventually(lambda: is_delivered(suite, ticket.orderid))
        assert await suite.history(ticket.orderid) == [
            "pre-approved",
            "reserved",
            "approved",
            "delivery-arranged",
        ]


async def is_delivered(suite: Suite, orderid: str) -> bool:
    return "delivery-arranged" in await suite.history(orderid)


async def test_reserved_without_an_amount_is_declined(backend_environ: Mapping[str, str]):
    """The stock service in Go sends no amount."""
    async with running_suite(backend_environ, without=["stock"]) as suite:
        ticket = await suite.order("c", blue=1)

        await suite.backend.bus.publish(TOPOLOGY.topics["stock"], [a_report(ticket.orderid, "reserved")])

        assert (await suite.ticket_becomes(ticket.orderid, "payment-failed")).reason == "no-amount"


async def test_events_follow_the_wire_contract(
    backend_environ: Mapping[str, str],
):
    await ensure_provisioned(TOPOLOGY, backend_environ)
    async with open_provisioner(backend_environ) as provisioner:
        for service, topic in ((each, TOPOLOGY.topics[each]) for each in PUBLISHED_BY):
            await provisioner.ensure_subscription(SubscriptionSpec(f"listener.{service}", topic, None))
    async with running_suite(backend_environ) as suite:
        received = {service: listen(suite, f"listener.{service}") for service in PUBLISHED_BY}

        ticket = await suite.order("c", blue=3)
        await suite.ticket_becomes(ticket.orderid, "approved")
        await eventually(lambda: all(received.values()) and len(received["purchase"]) > 1)

        published = {
            service: [json.loads(message.data) for message in received[service]] for service in received
        }
        whole = {"orderid": ticket.orderid, "cart_items": [{"itemid": "blue", "count": 3}]}
        assert published == {
            "purchase": [
                {**whole, "status": "pre-approved"},
                {**whole, "status": "approved", "amount": 300},
            ],
            "stock": [{**whole, "status": "reserved", "amount": 300}],
            "payment": [{**whole, "status": "paid", "amount": 300}],
            "delivery": [{**whole, "status": "delivery-arranged"}],
        }
        attributes = [message.attributes for messages in received.values() for message in messages]
        assert {each["type"] for each in attributes} == {"purchase.OrderTicket"}
        assert len({uuid.UUID(each["eventid"]) for each in attributes}) == 5


async def test_report_about_an_unknown_order_becomes_a_dead_letter(
    backend_environ: Mapping[str, str],
):
    async with running_suite(backend_environ) as suite:
        received = listen(suite, TOPOLOGY.dead_letter_subscription)

        await suite.backend.bus.publish(TOPOLOGY.topics["payment"], [a_report("no-such-order", "paid")])

        (letter,) = await eventually(lambda: received)
        assert letter.attributes["dead_letter_reason"] == "unknown-order"
        assert letter.attributes["dead_letter_subscription"] == "purchase-service.com.example.payment"
        assert json.loads(letter.data)["orderid"] == "no-such-order"


async def test_events_have_cloudevents_attributes_if_wanted_and_need_no_others(
    backend_environ: Mapping[str, str],
):
    """A publisher that knows nothing but CloudEvents takes part in the saga, and can read its events."""
    topic = TOPOLOGY.topics["purchase"]
    async with running_suite({**backend_environ, "EVENT_CLOUDEVENTS": "true"}, without=["payment"]) as suite:
        async with open_provisioner(backend_environ) as provisioner:
            await provisioner.ensure_subscription(SubscriptionSpec("a-foreign-service", topic, None))
        received = listen(suite, "a-foreign-service")
        paid = a_report((await suite.order("foreign", gold=1)).orderid, "paid")
        theirs = {"ce-id": str(uuid.uuid4()), "ce-source": "/bank", "ce-type": ORDER_TICKET}

        await suite.backend.bus.publish(TOPOLOGY.topics["payment"], [Message(paid.data, theirs)])

        await suite.ticket_becomes(json.loads(paid.data)["orderid"], "approved")
        approval = await eventually(lambda: [each for each in received if b'"approved"' in each.data])
        attributes = approval[0].attributes
        assert attributes["ce-id"] == attributes["eventid"]
        assert (attributes["ce-source"], attributes["ce-type"]) == (f"/{topic}", ORDER_TICKET)


async def test_malformed_events_become_dead_letters_with_a_reason(backend_environ: Mapping[str, str]):
    malformed = {
        (b"no json", "e"): "malformed-ticket",
        (b"{}", "e"): "malformed-ticket",
        (b"\xff\xfe", "e"): "malformed-ticket",
        (b"[" * 100_000, "e"): "malformed-ticket",
        (b'{"orderid":"o","status":"paid","amount":' + b"9" * 10_000 + b"}", "e"): "malformed-ticket",
        (b'{"orderid":"o","status":"\\ud800"}', "e"): "malformed-ticket",
        (b'{"orderid":"o","status":"' + b"s" * 100_000 + b'"}', "e"): (
            "malformed-ticket: status is too long"
        ),
        (b'{"orderid":"o","status":"paid"}', None): "no-eventid",
        (b'{"orderid":"p","status":"paid"}', "e\n"): "malformed-eventid",
    }
    async with running_suite(backend_environ) as suite:
        received = listen(suite, TOPOLOGY.dead_letter_subscription)

        for data, eventid in malformed:
            attributes = {"type": ORDER_TICKET} | ({"eventid": eventid} if eventid else {})
            await suite.backend.bus.publish(TOPOLOGY.topics["delivery"], [Message(data, attributes)])

        await eventually(lambda: len({each.data for each in received}) == len(malformed))
        found = {
            (each.data, each.attributes.get("eventid")): each.attributes["dead_letter_reason"]
            for each in received
        }
        assert found == malformed
        ticket = await suite.order("fine", red=1)
        await suite.ticket_becomes(ticket.orderid, "approved")


async def test_replicas_handle_each_order_once(
    backend_environ: Mapping[str, str],
):
    """Catches replicas that race through deduplication, and stock read outside the transaction."""
    async with running_suite(backend_environ, replicas=2) as suite:
        tickets = await asyncio.gather(*(suite.order(f"c{n}", blue=2, red=1) for n in range(40)))

        await asyncio.gather(*(suite.ticket_becomes(ticket.orderid, "approved") for ticket in tickets))

        await suite.balances()
        assert ((await suite.item("blue")).sold, (await suite.item("red")).sold) == (80, 40)


async def test_event_left_in_the_outbox_by_a_crash_is_published(
    backend_environ: Mapping[str, str],
):
    """Catches a relay that only publishes after the commit, so that a crash strands events."""
    async with running_suite(backend_environ, without=["payment"]) as suite:
        ticket = await suite.order("c", gold=1)
        await suite.ticket_becomes(ticket.orderid, "reserved")
        left = {
            "type": ORDER_TICKET,
            "body": a_report(ticket.orderid, "paid").data,
            "attributes": {},
            "claims": 0,
            "due": encode_due("left", time.time()),
        }
        await suite.backend.tables.commit([Insert(Key("StockPublishEvent", str(uuid.uuid4())), left)])

        await suite.ticket_becomes(ticket.orderid, "approved")

        await eventually(lambda: outbox_is_empty(suite, "StockPublishEvent"))


async def outbox_is_empty(suite: Suite, kind: str) -> bool:
    """Return whether no outbox rows are left: the table must not grow for ever."""
    return not await suite.backend.tables.due(kind, "00:", "ff:", 10)
