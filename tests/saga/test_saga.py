"""The saga from cart to end, over every backend: services wired as in production, in one process."""

import asyncio
import json
import time
import uuid
from collections.abc import Mapping

import grpc
import pytest

from contract import topology
from contract.tickets import ORDER_TICKET
from rpc import purchase_pb2 as pb
from sagactl.local.provision import provision
from sagakit.backends import open_provisioner
from sagakit.bus import Delivery, Message, SubscriptionSpec
from sagakit.due import encode_due
from sagakit.tables import Insert, Key
from tests.support.eventually import eventually
from tests.support.suite import Suite, running_suite


def a_report(orderid: str, status: str, eventid: str | None = None) -> Message:
    """As a service in another language would publish it, knowing only the wire contract."""
    body = {"orderid": orderid, "status": status, "cart_items": [{"itemid": "blue", "count": 1}]}
    return Message(json.dumps(body).encode(), {"eventid": eventid or str(uuid.uuid4()), "type": ORDER_TICKET})


def listen(suite: Suite, subscription: str) -> list[Message]:
    """What arrives at a subscription from now on."""
    heard: list[Message] = []

    def receive(delivery: Delivery) -> None:
        heard.append(delivery.message)
        delivery.ack()

    suite.backend.bus.subscribe(subscription, receive, 100)
    return heard


async def test_every_order_of_the_walk_ends_as_its_items_say(backend_environ: Mapping[str, str]):
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
        refused = await suite.ticket_becomes(unknown.orderid, "reserve-failed")
        assert refused.reason == "unknown-item: purple"
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
        # `paid` may overtake `reserved`.
        assert (history[0], history[-2:]) == ("pre-approved", ["approved", "delivery-arranged"])
        for orderid in (mixed.orderid, yellow.orderid):
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await suite.charge(orderid)
            assert refused.value.code() is grpc.StatusCode.NOT_FOUND


async def test_repeating_what_makes_and_ends_a_cart_returns_what_is_there(backend_environ: Mapping[str, str]):
    async with running_suite(backend_environ) as suite:
        first = await suite.order("again", red=1)

        again = await suite.order("other", red=1)
        same = await suite.purchase.Checkout(pb.CheckoutRequest(cartid="again"))
        cart = await suite.purchase.CreateCart(pb.CreateCartRequest(cartid="again"))
        closed = await suite.purchase.CloseCart(pb.CloseCartRequest(cartid="again"))

        assert same.order_ticket.orderid == first.orderid != again.orderid
        assert cart.cart.status == closed.cart.status == "checked-out"


async def test_ten_checkouts_of_one_cart_at_once_open_one_order(backend_environ: Mapping[str, str]):
    async with running_suite(backend_environ, replicas=2) as suite:
        await suite.purchase.CreateCart(pb.CreateCartRequest(cartid="c"))
        await suite.purchase.AddItem(pb.AddItemRequest(cartid="c", itemid="red", count=1))
        await suite.purchase.CloseCart(pb.CloseCartRequest(cartid="c"))

        answers = await asyncio.gather(
            *(suite.purchase.Checkout(pb.CheckoutRequest(cartid="c")) for _ in range(10))
        )

        assert len({answer.order_ticket.orderid for answer in answers}) == 1
        await suite.ticket_becomes(answers[0].order_ticket.orderid, "approved")
        await suite.balances()
        assert (await suite.item("red")).sold == 1


async def test_an_item_is_added_once_under_one_commandid(backend_environ: Mapping[str, str]):
    async with running_suite(backend_environ) as suite:
        await suite.purchase.CreateCart(pb.CreateCartRequest(cartid="c"))
        add = pb.AddItemRequest(cartid="c", itemid="blue", count=3, commandid="one")

        answers = await asyncio.gather(*(suite.purchase.AddItem(add) for _ in range(5)))
        await suite.purchase.AddItem(pb.AddItemRequest(cartid="c", itemid="blue", count=1, commandid="two"))
        await suite.purchase.CloseCart(pb.CloseCartRequest(cartid="c"))
        late = await suite.purchase.AddItem(add)

        assert [answer.cart_items[0].count for answer in (*answers, late)] == [3] * 6
        contents = await suite.purchase.GetCartContents(pb.GetCartContentsRequest(cartid="c"))
        assert contents.cart_items[0].count == 4
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await suite.purchase.AddItem(
                pb.AddItemRequest(cartid="c", itemid="red", count=3, commandid="one")
            )
        assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_of_racing_calls_under_one_commandid_all_answer_with_what_the_winner_did(
    backend_environ: Mapping[str, str],
):
    async with running_suite(backend_environ, replicas=2) as suite:
        await suite.purchase.CreateCart(pb.CreateCartRequest(cartid="c"))
        sets = [pb.SetItemRequest(cartid="c", itemid="red", count=n, commandid="k") for n in (1, 2)]
        racing = await asyncio.gather(
            *(suite.purchase.SetItem(request) for request in sets * 4), return_exceptions=True
        )
        await suite.purchase.CloseCart(pb.CloseCartRequest(cartid="c"))
        checkout = pb.CheckoutRequest(cartid="c", commandid="checkout")
        orders = await asyncio.gather(*(suite.purchase.Checkout(checkout) for _ in range(8)))
        await suite.ticket_becomes(orders[0].order_ticket.orderid, "approved")
        late = await suite.purchase.Checkout(checkout)

    done = [answer for answer in racing if isinstance(answer, pb.SetItemResponse)]
    refused = [answer for answer in racing if answer not in done]
    assert (len(done), len(refused)) == (4, 4)
    assert all(answer == done[0] for answer in done)
    assert {error.code() for error in refused} == {grpc.StatusCode.INVALID_ARGUMENT}
    assert all(answer == orders[0] for answer in (*orders, late))


async def test_a_service_in_another_language_can_stand_in_for_payment(backend_environ: Mapping[str, str]):
    """Published twice with one eventid, and twice with two, a report is applied once."""
    async with running_suite(backend_environ, without=["payment"]) as suite:
        ticket = await suite.order("gold", gold=1)
        await suite.ticket_becomes(ticket.orderid, "reserved")
        report = a_report(ticket.orderid, "paid")

        for message in (report, report, a_report(ticket.orderid, "paid")):
            await suite.backend.bus.publish(topology.TOPICS["payment"], [message])

        await suite.ticket_becomes(ticket.orderid, "approved")
        for late in (a_report(ticket.orderid, "payment-failed"), a_report(ticket.orderid, "withdrawal")):
            await suite.backend.bus.publish(topology.TOPICS["payment"], [late])
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


async def test_a_stock_that_names_no_amount_gets_its_order_declined(backend_environ: Mapping[str, str]):
    """As the Go stock does, which sends none."""
    async with running_suite(backend_environ, without=["stock"]) as suite:
        ticket = await suite.order("c", blue=1)

        await suite.backend.bus.publish(topology.TOPICS["stock"], [a_report(ticket.orderid, "reserved")])

        assert (await suite.ticket_becomes(ticket.orderid, "payment-failed")).reason == "no-amount"


async def test_every_event_can_be_read_by_who_knows_only_the_wire_contract(
    backend_environ: Mapping[str, str],
):
    await provision(backend_environ)
    async with open_provisioner(backend_environ) as provisioner:
        for service, topic in topology.TOPICS.items():
            await provisioner.ensure_subscription(SubscriptionSpec(f"listener.{service}", topic, None))
    async with running_suite(backend_environ) as suite:
        heard = {service: listen(suite, f"listener.{service}") for service in topology.TOPICS}

        ticket = await suite.order("c", blue=3)
        await suite.ticket_becomes(ticket.orderid, "approved")
        await eventually(lambda: all(heard.values()) and len(heard["purchase"]) > 1)

        said = {service: [json.loads(message.data) for message in heard[service]] for service in heard}
        whole = {"orderid": ticket.orderid, "cart_items": [{"itemid": "blue", "count": 3}]}
        assert said == {
            "purchase": [
                {**whole, "status": "pre-approved"},
                {**whole, "status": "approved", "amount": 300},
            ],
            "stock": [{**whole, "status": "reserved", "amount": 300}],
            "payment": [{**whole, "status": "paid", "amount": 300}],
            "delivery": [{**whole, "status": "delivery-arranged"}],
        }
        attributes = [message.attributes for messages in heard.values() for message in messages]
        assert {each["type"] for each in attributes} == {"purchase.OrderTicket"}
        assert len({uuid.UUID(each["eventid"]) for each in attributes}) == 5


async def test_a_report_about_an_order_nobody_opened_goes_to_the_dead_letters(
    backend_environ: Mapping[str, str],
):
    async with running_suite(backend_environ) as suite:
        heard = listen(suite, topology.DEAD_LETTER_SUBSCRIPTION)

        await suite.backend.bus.publish(topology.TOPICS["payment"], [a_report("no-such-order", "paid")])

        (letter,) = await eventually(lambda: heard)
        assert letter.attributes["dead_letter_reason"] == "unknown-order"
        assert letter.attributes["dead_letter_subscription"] == "purchase-service.com.example.payment"
        assert json.loads(letter.data)["orderid"] == "no-such-order"


@pytest.mark.parametrize(
    ("data", "attributes", "reason"),
    [
        (b"no json", {"eventid": "e", "type": ORDER_TICKET}, "malformed-ticket"),
        (b"{}", {"eventid": "e", "type": ORDER_TICKET}, "malformed-ticket"),
        (b'{"orderid":"o","status":"paid"}', {"type": ORDER_TICKET}, "no-eventid"),
        (b"\xff\xfe", {"eventid": "e", "type": ORDER_TICKET}, "malformed-ticket"),
    ],
)
async def test_a_malformed_event_goes_to_the_dead_letters_with_its_reason(
    data, attributes, reason, backend_environ: Mapping[str, str]
):
    async with running_suite(backend_environ) as suite:
        heard = listen(suite, topology.DEAD_LETTER_SUBSCRIPTION)

        await suite.backend.bus.publish(topology.TOPICS["delivery"], [Message(data, attributes)])

        (letter,) = await eventually(lambda: heard)
        assert letter.attributes["dead_letter_reason"] == reason
        assert letter.data == data
        ticket = await suite.order("fine", red=1)
        await suite.ticket_becomes(ticket.orderid, "approved")


async def test_two_processes_of_each_service_share_the_work_and_handle_no_order_twice(
    backend_environ: Mapping[str, str],
):
    """Traps: two copies racing through the dedup; stock read outside the transaction that writes it."""
    async with running_suite(backend_environ, replicas=2) as suite:
        tickets = await asyncio.gather(*(suite.order(f"c{n}", blue=2, red=1) for n in range(40)))

        await asyncio.gather(*(suite.ticket_becomes(ticket.orderid, "approved") for ticket in tickets))

        await suite.balances()
        assert ((await suite.item("blue")).sold, (await suite.item("red")).sold) == (80, 40)


async def test_an_event_that_a_crash_left_in_the_outbox_is_published_by_somebody_else(
    backend_environ: Mapping[str, str],
):
    """Trap: a relay that only runs inline after commit; a crash strands events for ever."""
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
    """Trap: tables of outbox rows that only grow."""
    return not await suite.backend.tables.due(kind, "00:", "ff:", 10)


async def test_orders_wait_for_a_service_that_is_away_and_go_on_when_it_is_back(
    backend_environ: Mapping[str, str],
):
    async with running_suite(backend_environ) as suite:
        first = await suite.order("first", blue=1)
        await suite.ticket_becomes(first.orderid, "approved")
        for service, status in (("stock", "pre-approved"), ("payment", "reserved")):
            await suite.services.stop(service)
            waiting = await suite.order(f"without-{service}", blue=1)
            await suite.ticket_becomes(waiting.orderid, status)

            await suite.services.start(service)

            # The Pub/Sub emulator hands messages to streams that were cancelled, for some leases.
            await suite.ticket_becomes(waiting.orderid, "approved", seconds=100)
        await suite.balances()
