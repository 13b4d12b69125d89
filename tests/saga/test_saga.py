"""The saga from cart to end, over every backend: services wired as in production, in one process."""

import asyncio
import json
import time
import uuid
from collections import Counter
from collections.abc import Mapping

import grpc
import pytest

from contract import topology
from contract.tickets import ORDER_TICKET
from rpc import purchase_pb2 as pb
from rpc import stock_pb2 as stock_pb
from rpc.purchase_pb2_grpc import PurchaseStub
from sagactl.provision import provision
from sagakit.backends import open_backend, open_provisioner
from sagakit.bus import Delivery, Message, SubscriptionSpec
from sagakit.due import due_at
from sagakit.service import ServiceSettings
from sagakit.runtime import Runtime
from sagakit.tables import Insert, Key
from tests.support.eventually import eventually
from tests.support.suite import Suite, running_service, running_suite, service_environ


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


async def passages(suite: Suite, orderid: str) -> list[str]:
    row = (await suite.backend.tables.lookup([Key("OrderTicket", orderid)]))[Key("OrderTicket", orderid)]
    return [passage["status"] for passage in row.entity["history"]]


async def test_every_order_of_the_walk_ends_as_its_items_say(backend_environ: Mapping[str, str]):
    async with running_suite(backend_environ) as suite:
        mixed = await suite.order("mixed", blue=3, red=2)
        blue = await suite.order("blue", blue=3)
        yellow = await suite.order("yellow", blue=1, yellow=1)
        unknown = await suite.order("unknown", purple=1)

        assert mixed.status == "pre-approved"
        assert [(item.itemid, item.count) for item in mixed.cart_items] == [("blue", 3), ("red", 2)]
        await suite.ticket_becomes(mixed.orderid, "approved")
        assert (await suite.ticket_becomes(blue.orderid, "reserved")).amount == 300
        assert (await suite.ticket_becomes(yellow.orderid, "reserve-failed")).reason == "sold-out: yellow"
        assert (
            await suite.ticket_becomes(unknown.orderid, "reserve-failed")
        ).reason == "unknown-item: purple"
        item = await suite.item("blue")
        assert (item.reserved, item.available + item.reserved + item.sold) == (6, item.stock)
        reservation = await suite.stock.GetReservation(stock_pb.GetReservationRequest(orderid=yellow.orderid))
        assert reservation.reservation.status == "refused"


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
        assert (await suite.item("red")).reserved == 1


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


async def test_a_service_in_another_language_can_stand_in_for_stock(backend_environ: Mapping[str, str]):
    """Published twice with one eventid, and twice with two, a report is applied once."""
    await provision(backend_environ)
    async with running_suite(backend_environ) as suite:
        ticket = await suite.order("gold", gold=1)
        await suite.ticket_becomes(ticket.orderid, "reserved")
        report = a_report(ticket.orderid, "paid")

        for message in (
            report,
            report,
            a_report(ticket.orderid, "paid"),
            a_report(ticket.orderid, "reserved"),
        ):
            await suite.backend.bus.publish(topology.TOPICS["stock"], [message])

        await suite.ticket_becomes(ticket.orderid, "approved")
        await suite.backend.bus.publish(
            topology.TOPICS["payment"], [a_report(ticket.orderid, "payment-failed")]
        )
        another = await suite.order("after", red=1)
        await suite.ticket_becomes(another.orderid, "approved")
        assert await passages(suite, ticket.orderid) == ["pre-approved", "reserved", "approved"]


async def test_every_event_can_be_read_by_who_knows_only_the_wire_contract(
    backend_environ: Mapping[str, str],
):
    await provision(backend_environ)
    async with open_provisioner(backend_environ) as provisioner:
        for service in ("purchase", "stock"):
            await provisioner.ensure_subscription(
                SubscriptionSpec(f"listener.{service}", topology.TOPICS[service], None)
            )
    async with running_suite(backend_environ) as suite:
        heard = [listen(suite, f"listener.{service}") for service in ("purchase", "stock")]

        ticket = await suite.order("c", blue=3)
        await suite.ticket_becomes(ticket.orderid, "reserved")
        await eventually(lambda: all(heard))

        (announced,), (reserved,) = heard
        assert announced.attributes["type"] == reserved.attributes["type"] == "purchase.OrderTicket"
        assert uuid.UUID(announced.attributes["eventid"]) != uuid.UUID(reserved.attributes["eventid"])
        items = [{"itemid": "blue", "count": 3}]
        assert json.loads(announced.data) == {
            "orderid": ticket.orderid,
            "status": "pre-approved",
            "cart_items": items,
        }
        assert json.loads(reserved.data) == {
            "orderid": ticket.orderid,
            "status": "reserved",
            "cart_items": items,
            "amount": 300,
        }


async def test_a_report_about_an_order_nobody_opened_goes_to_the_dead_letters(
    backend_environ: Mapping[str, str],
):
    async with running_suite(backend_environ) as suite:
        heard = listen(suite, topology.DEAD_LETTER_SUBSCRIPTION)

        await suite.backend.bus.publish(topology.TOPICS["stock"], [a_report("no-such-order", "paid")])

        (letter,) = await eventually(lambda: heard)
        assert letter.attributes["dead_letter_reason"] == "unknown-order"
        assert letter.attributes["dead_letter_subscription"] == "purchase-service.com.example.stock"
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

        await suite.backend.bus.publish(topology.TOPICS["stock"], [Message(data, attributes)])

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

        assert ((await suite.item("blue")).reserved, (await suite.item("red")).reserved) == (80, 40)


async def test_more_orders_than_pieces_sell_every_piece_and_no_more(backend_environ: Mapping[str, str]):
    async with running_suite(backend_environ, replicas=2) as suite:
        await suite.stock.PutItem(
            stock_pb.PutItemRequest(itemid="last", price=1, stock=10, waives_payment=True)
        )

        tickets = await asyncio.gather(*(suite.order(f"c{n}", last=1) for n in range(25)))
        await eventually(lambda: all_ended(suite, [ticket.orderid for ticket in tickets]), seconds=30)

        ends = Counter([(await suite.ticket(ticket.orderid)).status for ticket in tickets])
        item = await suite.item("last")
        assert ends == {"approved": 10, "reserve-failed": 15}
        assert (item.available, item.reserved) == (0, 10)


async def all_ended(suite: Suite, orderids: list[str]) -> bool:
    tickets = await asyncio.gather(*(suite.ticket(orderid) for orderid in orderids))
    return all(ticket.status != "pre-approved" for ticket in tickets)


async def test_an_event_that_a_crash_left_in_the_outbox_is_published_by_somebody_else(
    backend_environ: Mapping[str, str],
):
    """Trap: a relay that only runs inline after commit; a crash strands events for ever."""
    await provision(backend_environ)
    async with running_suite(backend_environ) as suite:
        ticket = await suite.order("c", gold=1)
        await suite.ticket_becomes(ticket.orderid, "reserved")
        left = {
            "type": ORDER_TICKET,
            "body": a_report(ticket.orderid, "paid").data,
            "attributes": {},
            "claims": 0,
            "due": due_at("left", time.time()),
        }
        await suite.backend.tables.commit([Insert(Key("StockPublishEvent", str(uuid.uuid4())), left)])

        await suite.ticket_becomes(ticket.orderid, "approved")

        await eventually(lambda: outbox_is_empty(suite, "StockPublishEvent"))


async def outbox_is_empty(suite: Suite, kind: str) -> bool:
    """Trap: tables of outbox rows that only grow."""
    return not await suite.backend.tables.due(kind, "00:", "ff:", 10)


async def test_the_outboxes_are_empty_once_all_is_said(backend_environ: Mapping[str, str]):
    async with running_suite(backend_environ) as suite:
        tickets = [await suite.order(f"c{n}", red=1) for n in range(5)]
        for ticket in tickets:
            await suite.ticket_becomes(ticket.orderid, "approved")

        for kind in ("PurchasePublishEvent", "StockPublishEvent"):
            await eventually(lambda kind=kind: outbox_is_empty(suite, kind))


async def test_orders_wait_for_a_service_that_is_away_and_go_on_when_it_is_back(
    backend_environ: Mapping[str, str],
):
    await provision(backend_environ)
    async with running_suite(backend_environ) as suite:
        first = await suite.order("first", red=1)
        await suite.ticket_becomes(first.orderid, "approved")
    async with (
        running_service("purchase", backend_environ) as purchase,
        grpc.aio.insecure_channel(purchase) as channel,
    ):
        settings = ServiceSettings.from_environ(service_environ("stock", backend_environ))
        async with open_backend(settings.backend, Runtime()) as backend:
            suite = Suite(PurchaseStub(channel), None, backend)
            waiting = await suite.order("waiting", red=1)
            assert waiting.status == (await suite.ticket(waiting.orderid)).status == "pre-approved"

            async with running_service("stock", backend_environ):
                # The Pub/Sub emulator hands messages to streams that were cancelled, for some leases.
                await suite.ticket_becomes(waiting.orderid, "approved", seconds=100)
