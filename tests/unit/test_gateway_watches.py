"""Orders that are followed: what is told of them, from what services say and from their records."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from contract.order_history import OrderSnapshot
from contract.tickets import TicketMessage
from rpc.delivery_pb2 import Shipment
from rpc.payment_pb2 import Charge
from rpc.purchase_pb2 import OrderHistoryEntry
from rpc.stock_pb2 import Reservation
from sagakit.errors import Unavailable
from sagakit.runtime import Runtime
from sagakit.telemetry.spans import in_span
from sagakit.telemetry.traceparent import current_trace_id
from services.gateway.auth import Credentials
from services.gateway.order_feed.feed import OrderFeed, OrderFeeds
from tests.support.eventually import eventually
from tests.support.traces import Traces, trace_id_of

ME = Credentials("token")


def moment(second: int) -> str:
    return f"2026-11-21T12:00:{second:02}.000Z"


def history(*statuses: str) -> tuple[OrderHistoryEntry, ...]:
    return tuple(
        OrderHistoryEntry(
            status=status, time=moment(number), cause="client" if status == "canceled" else status
        )
        for number, status in enumerate(statuses)
    )


def records(*statuses: str, complete: bool = True, **found) -> OrderSnapshot:
    return OrderSnapshot(
        history(*statuses),
        found.get("reservation"),
        found.get("charge"),
        found.get("shipment"),
        complete,
    )


RESERVED = Reservation(status="reserved", amount=300, time=moment(1))
SOLD = Reservation(status="sold", amount=300, time=moment(1), settled_time=moment(8))
RELEASED = Reservation(status="released", amount=300, time=moment(1), settled_time=moment(8))
REFUSED = Reservation(status="refused", reason="sold-out", time=moment(1))
NEVER_RESERVED = Reservation(status="released", time=moment(1))
WAIVED = Reservation(status="sold", waives_payment=True, amount=50, time=moment(1), settled_time=moment(8))
CHARGED = Charge(status="charged", amount=300, time=moment(2))
SETTLED = Charge(status="settled", amount=300, time=moment(2), settled_time=moment(9))
DECLINED = Charge(status="declined", amount=300, reason="limit", time=moment(2))
GIVEN_BACK = Charge(status="canceled", amount=300, refunded=300, time=moment(2), settled_time=moment(9))
NEVER_CHARGED = Charge(status="canceled", time=moment(2))
SHIPPED = Shipment(status="arranged", time=moment(7))
APPROVED = ("pre-approved", "reserved", "approved", "delivery-arranged")


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (
            records(*APPROVED, reservation=SOLD, charge=SETTLED, shipment=SHIPPED),
            (
                "purchase.pre-approved stock.reserved purchase.approved payment.paid stock.sold"
                " payment.settled delivery.delivery-arranged"
            ),
        ),
        (
            records("pre-approved", "approved", reservation=WAIVED),
            "purchase.pre-approved stock.paid purchase.approved stock.sold",
        ),
        (
            records("pre-approved", "reserve-failed", reservation=REFUSED),
            "purchase.pre-approved stock.reserve-failed purchase.reserve-failed",
        ),
        (
            records("pre-approved", "payment-failed", reservation=RELEASED, charge=DECLINED),
            (
                "purchase.pre-approved stock.reserved payment.payment-failed stock.released"
                " purchase.payment-failed"
            ),
        ),
        (
            records("pre-approved", "canceled", reservation=NEVER_RESERVED, charge=NEVER_CHARGED),
            "purchase.pre-approved stock.released purchase.canceled payment.canceled",
        ),
        (
            records("pre-approved", "canceled", reservation=RELEASED, charge=GIVEN_BACK),
            (
                "purchase.pre-approved stock.reserved purchase.canceled payment.paid stock.released"
                " payment.canceled"
            ),
        ),
        # What others cannot be asked about, the history knows.
        (
            records(*APPROVED, complete=False),
            "purchase.pre-approved stock.reserved purchase.approved delivery.delivery-arranged",
        ),
    ],
)
def test_what_is_on_record_is_told_in_its_order(found: OrderSnapshot, words: str):
    assert sorted(move.key for move in found.events()) == sorted(words.split())
    assert [move.time for move in found.events()] == sorted(move.time for move in found.events())


def test_a_move_says_how_much_and_why():
    moves = {
        move.key: move
        for move in (
            *records("pre-approved", "canceled", reservation=RESERVED, charge=DECLINED).events(),
            *records("pre-approved", reservation=REFUSED).events(),
        )
    }

    assert moves["stock.reserved"].amount == 300
    assert moves["payment.payment-failed"].reason == "limit"
    assert moves["purchase.canceled"].reason == "client"
    assert moves["stock.reserve-failed"].reason == "sold-out"


def test_what_was_asked_for_is_in_the_first_trace_and_what_follows_from_the_end_in_the_last():
    traced = (
        OrderHistoryEntry(status="pre-approved", time=moment(0), cause="checkout", trace_id="a" * 32),
        OrderHistoryEntry(status="canceled", time=moment(5), cause="client", trace_id="b" * 32),
    )

    def traces(**found) -> dict[str, str | None]:
        moves = replace(records("canceled", **found), history=traced).events()
        return {move.key: move.trace_id and move.trace_id[0] for move in moves}

    purchase = {"purchase.pre-approved": "a", "purchase.canceled": "b"}
    late = {"stock.reserved": "a", "stock.released": "b", "payment.paid": "a", "payment.canceled": "b"}
    assert traces(reservation=RELEASED, charge=GIVEN_BACK) == {**purchase, **late}
    early = {"stock.released": "b", "payment.canceled": "b"}
    assert traces(reservation=NEVER_RESERVED, charge=NEVER_CHARGED) == {**purchase, **early}
    refused = {"stock.reserve-failed": "a", "payment.payment-failed": "a"}
    assert traces(reservation=REFUSED, charge=DECLINED) == {**purchase, **refused}


def test_a_move_that_was_not_traced_names_no_trace():
    found = records(*APPROVED, reservation=SOLD, charge=SETTLED, shipment=SHIPPED)

    assert {move.trace_id for move in found.events()} == {None}


@pytest.mark.parametrize(
    ("found", "is_settled"),
    [
        (records(*APPROVED, reservation=SOLD, charge=SETTLED, shipment=SHIPPED), True),
        (records(*APPROVED, reservation=SOLD, charge=SETTLED), False),
        (records(*APPROVED, reservation=RESERVED, charge=SETTLED, shipment=SHIPPED), False),
        (records(*APPROVED, reservation=SOLD, charge=CHARGED, shipment=SHIPPED), False),
        (records(*APPROVED, reservation=WAIVED, shipment=SHIPPED), True),
        (records(*APPROVED, reservation=SOLD, charge=SETTLED, shipment=SHIPPED, complete=False), False),
        (records("pre-approved"), False),
        (records("pre-approved", "reserved", reservation=RESERVED), False),
        (records("pre-approved", "reserve-failed", reservation=REFUSED), True),
        (records("pre-approved", "payment-failed", reservation=RESERVED, charge=DECLINED), False),
        (records("pre-approved", "payment-failed", reservation=RELEASED, charge=DECLINED), True),
        # Stock and payment have not heard of it yet, and may take something still.
        (records("pre-approved", "canceled"), False),
        (records("pre-approved", "canceled", reservation=NEVER_RESERVED), False),
        (records("pre-approved", "canceled", charge=NEVER_CHARGED), False),
        (records("pre-approved", "canceled", reservation=NEVER_RESERVED, charge=NEVER_CHARGED), True),
        (records("pre-approved", "canceled", reservation=RELEASED, charge=CHARGED), False),
    ],
)
def test_an_order_is_is_settled_when_nothing_is_open_anywhere(found: OrderSnapshot, is_settled: bool):
    assert found.is_settled is is_settled


class Books:
    """What there is to be found when somebody looks."""

    def __init__(self, found: OrderSnapshot) -> None:
        self.found = found
        self.looks = 0
        self.away = False
        self.bearers: list[Credentials] = []
        self.traces: set[str | None] = set()
        self.open = asyncio.Event()
        self.open.set()

    async def look(self, orderid: str, bearer: Credentials) -> OrderSnapshot:
        self.looks += 1
        self.bearers.append(bearer)
        self.traces.add(current_trace_id())
        found = self.found
        await self.open.wait()
        if self.away:
            raise Unavailable("purchase is away")
        return found


async def test_looks_belong_to_the_trace_of_whoever_began_to_follow():
    traces, books = Traces(), Books(records("pre-approved"))
    with in_span(traces.tracer("gateway").start_span("GET")):
        async with followed(books):
            await eventually(lambda: books.looks)

    assert books.traces == {trace_id_of(traces.spans[0])}


@asynccontextmanager
async def followed(books: Books) -> AsyncIterator[tuple[OrderFeeds, OrderFeed]]:
    watches = OrderFeeds(books.look, Runtime())
    async with watches.follow("o-1", ME) as watch:
        yield watches, watch


def said(status: str, **more) -> TicketMessage:
    return TicketMessage("o-1", status, (), **more)


def words(watch: OrderFeed) -> list[str]:
    return [move.key for move in watch.events]


async def settled() -> None:
    """Let what is under way go on as far as it can."""
    for _ in range(20):
        await asyncio.sleep(0)


async def test_what_is_said_is_told_without_looking():
    books = Books(records("pre-approved"))
    async with followed(books) as (watches, watch):
        await eventually(lambda: watch.events)

        watches.receive("stock", said("reserved", amount=300), moment(1), False)
        watches.receive("payment", said("paid", amount=300), moment(2), False)
        await settled()

        assert words(watch) == ["purchase.pre-approved", "stock.reserved", "payment.paid"]
        assert (watch.events[1].time, watch.events[1].amount) == (moment(1), 300)
        assert books.looks == 1


async def test_what_is_said_twice_is_told_once():
    books = Books(records("pre-approved", reservation=RESERVED))
    async with followed(books) as (watches, watch):
        await eventually(lambda: watch.events)

        watches.receive("stock", said("reserved"), moment(5), False)
        await settled()

        assert words(watch) == ["purchase.pre-approved", "stock.reserved"]


async def test_two_services_may_say_the_same_word():
    books = Books(records("pre-approved"))
    async with followed(books) as (watches, watch):
        await eventually(lambda: watch.events)

        watches.receive("payment", said("payment-failed"), moment(1), False)
        watches.receive("purchase", said("payment-failed"), moment(2), False)

        assert words(watch)[1:] == ["payment.payment-failed", "purchase.payment-failed"]


async def test_what_is_said_of_other_orders_is_nobodys_business():
    books = Books(records("pre-approved"))
    async with followed(books) as (watches, watch):
        await eventually(lambda: watch.events)

        watches.receive("stock", replace(said("reserved"), orderid="o-2"), moment(1), False)
        await settled()

        assert words(watch) == ["purchase.pre-approved"]
        assert books.looks == 1


@pytest.mark.parametrize(("status", "again"), [("reserved", True), ("made-up", False)])
async def test_a_repetition_or_an_unknown_word_has_it_look(status: str, again: bool):
    """Whoever repeats itself has not been heard: something may have been missed here as well."""
    books = Books(records("pre-approved"))
    async with followed(books) as (watches, watch):
        await eventually(lambda: watch.events)
        books.found = records("pre-approved", reservation=RESERVED)

        watches.receive("stock", said(status), moment(30), again)

        await eventually(lambda: "stock.reserved" in words(watch))
        assert watch.events[1].time == moment(1)


async def test_after_a_gap_every_order_that_is_followed_is_looked_at():
    books = Books(records("pre-approved"))
    async with followed(books) as (watches, watch):
        await eventually(lambda: watch.events)
        books.found = records("pre-approved", reservation=RESERVED, charge=CHARGED)

        watches.refresh()

        await eventually(lambda: "payment.paid" in words(watch))


async def test_what_is_said_during_the_first_look_is_not_told_before_the_history():
    books = Books(records("pre-approved"))
    books.open.clear()
    async with followed(books) as (watches, watch):
        await eventually(lambda: books.looks == 1)
        books.found = records("pre-approved", reservation=RESERVED)
        watches.receive("stock", said("reserved"), moment(1), False)
        assert not watch.events

        books.open.set()

        await eventually(lambda: words(watch) == ["purchase.pre-approved", "stock.reserved"])


async def test_from_the_tickets_end_it_looks_until_nothing_is_open():
    books = Books(records("pre-approved", reservation=RESERVED, charge=CHARGED))
    async with followed(books) as (watches, watch):
        await eventually(lambda: watch.events)
        books.found = records(*APPROVED, reservation=RESERVED, charge=CHARGED, shipment=SHIPPED)
        watches.receive("purchase", said("approved"), moment(3), False)
        assert watch.is_terminal
        await eventually(lambda: books.looks >= 4)
        assert not watch.is_settled

        books.found = records(*APPROVED, reservation=SOLD, charge=SETTLED, shipment=SHIPPED)
        await eventually(lambda: watch.is_settled)

        looks = books.looks
        await settled()
        assert books.looks == looks
        assert {"stock.sold", "payment.settled"} <= set(words(watch))


async def test_a_refusal_by_stock_has_it_look_until_purchase_has_noted_it():
    books = Books(records("pre-approved"))
    async with followed(books) as (watches, watch):
        await eventually(lambda: watch.events)
        watches.receive("stock", said("reserve-failed", reason="sold-out"), moment(1), False)
        await eventually(lambda: books.looks >= 3)

        books.found = records("pre-approved", "reserve-failed", reservation=REFUSED)

        await eventually(lambda: watch.is_settled)
        assert words(watch)[-1] == "purchase.reserve-failed"


async def test_an_open_order_is_not_looked_at_as_long_as_nobody_speaks():
    books = Books(records("pre-approved", "reserved", reservation=RESERVED))
    async with followed(books) as (_, watch):
        await eventually(lambda: watch.events)

        await asyncio.sleep(0.5)

        assert books.looks == 1


async def test_a_service_that_is_away_is_asked_again():
    books = Books(records("pre-approved", complete=False))
    async with followed(books) as (_, watch):
        await eventually(lambda: watch.events)
        books.away = True
        await eventually(lambda: books.looks >= 3)
        books.away, books.found = False, records("pre-approved", reservation=RESERVED)

        await eventually(lambda: "stock.reserved" in words(watch))


async def test_many_followers_cost_one_look():
    books = Books(records("pre-approved"))
    async with followed(books) as (watches, watch):
        await eventually(lambda: watch.events)
        async with watches.follow("o-1", Credentials("other")) as second:
            assert second is watch
            await settled()
            assert books.looks == 1
            watch.wake()
            await eventually(lambda: books.looks == 2)
        watch.wake()
        await eventually(lambda: books.looks == 3)

    assert [bearer.token for bearer in books.bearers] == ["token", "other", "token"]


async def test_what_nobody_follows_is_forgotten():
    books = Books(records("pre-approved"))
    async with followed(books) as (watches, watch):
        await eventually(lambda: watch.events)

    watches.receive("stock", said("reserved"), moment(1), True)
    watch.wake()
    await settled()

    assert books.looks == 1
    assert not watches._feeds
    assert not watches._tasks


async def test_whoever_waits_is_sent_elsewhere_when_the_process_stops():
    books = Books(records("pre-approved"))
    async with followed(books) as (watches, watch):
        waiting = asyncio.create_task(watch.until(lambda: watch.closed))
        await settled()

        watches.close()

        async with asyncio.timeout(5):
            await waiting
        async with watches.follow("o-2", ME) as late:
            assert late.closed


async def test_a_defect_keeps_nobody_waiting():
    async def look(orderid: str, bearer: Credentials) -> OrderSnapshot:
        raise ZeroDivisionError

    watches = OrderFeeds(look, Runtime())
    with capture_logs() as logs:
        async with watches.follow("o-1", ME) as watch, asyncio.timeout(5):
            await watch.until(lambda: watch.closed)

    assert [line["event"] for line in logs] == ["order feed failed"]
