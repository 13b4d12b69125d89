"""Event streams: limits, resuming, and clients that are slow or gone."""

import asyncio
import time
from collections.abc import Sequence
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest

from contract.tickets import TicketMessage
from rpc import purchase_pb2, stock_pb2
from sagakit.runtime import Runtime
from services.gateway.app import Lifecycle, create_app
from services.gateway.clients import Clients
from services.gateway.middleware import MiddlewareConfig
from services.gateway.order_feed.feed import OrderFeeds
from services.gateway.order_feed.live import HEARTBEAT
from services.gateway.order_feed.snapshot import SnapshotReader
from services.gateway.settings import RequestLimits, StreamLimits
from tests.service.gateway_harness import Failure, assert_problem, client_of, fakes, targets_of
from tests.support.eventually import eventually
from tests.support.sse import follow

STREAM_LIMITS, REQUEST_LIMITS = StreamLimits(), RequestLimits()
EVENTS = "/v1/orders/o-1/events"
NO_STOCK = ["purchase.pre-approved", "stock.reserve-failed", "purchase.reserve-failed", "end"]


def noon(second: int) -> str:
    return f"2026-11-21T12:00:0{second}.000Z"


REFUSED = stock_pb2.GetReservationResponse(reservation={"status": "refused", "time": noon(1)})


def history(*statuses: str) -> purchase_pb2.GetOrderHistoryResponse:
    """A history of those statuses, one after the other."""
    moves = [{"status": status, "time": noon(2 * at), "cause": status} for at, status in enumerate(statuses)]
    return purchase_pb2.GetOrderHistoryResponse(orderid="o-1", history=moves)


@asynccontextmanager
async def gateway(
    stream_limits: StreamLimits = STREAM_LIMITS,
    limits: RequestLimits = REQUEST_LIMITS,
    *,
    has_broker: bool = True,
    **answers: Sequence[Any],
):
    """A client of a gateway to fakes with one order that does not change; its feeds, and its application."""
    nothing = [Failure(grpc.StatusCode.NOT_FOUND)]
    only = {"GetReservation": nothing, "GetPayment": nothing, "GetDelivery": nothing}
    async with fakes(**{"GetOrderHistory": [history("pre-approved")], **only, **answers}) as services:
        clients = Clients(targets_of(services.values()), 10)
        feeds = OrderFeeds(SnapshotReader(clients).read, Runtime())
        app = create_app(
            clients, Lifecycle(), MiddlewareConfig(limits), feeds if has_broker else None, stream_limits
        )
        async with client_of(app) as client:
            yield client, feeds, app


async def get(app, path: str, headers=(), receive=None) -> "Answer":
    answer = Answer()
    scope = {
        "type": "http",
        "method": "GET",
        "path": path,
        "query_string": b"",
        "headers": list(headers),
        "client": ("192.0.2.1", 1),
        "asgi": {"spec_version": "2.3"},
    }
    answer.task = asyncio.create_task(app(scope, receive or answer.receive, answer.send))
    return answer


async def followed(app) -> "Answer":
    """A stream that has sent its first event."""
    answer = await get(app, EVENTS)
    await eventually(lambda: b"move" in answer.body)
    return answer


class Answer:
    """An answer as received by a client that may stop reading, or disconnect."""

    def __init__(self) -> None:
        self.started: list[int] = []
        self.body = b""
        self.reads = asyncio.Event()
        self.reads.set()
        self.gone = asyncio.Event()
        self.task: asyncio.Task[None]
        self._asked = False

    async def receive(self):
        if not self._asked:
            self._asked = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message) -> None:
        await self.reads.wait()
        if message["type"] == "http.response.start":
            self.started.append(message["status"])
        else:
            self.body += message["body"]


async def test_heartbeats_are_sent_without_events():
    async with gateway(StreamLimits(heartbeat_seconds=0.02)) as (_, _, app):
        answer = await get(app, EVENTS)

        await eventually(lambda: answer.body.count(HEARTBEAT.encode()) >= 3)

        answer.gone.set()
        await answer.task


async def test_stream_ends_after_its_maximum_duration_and_can_be_resumed():
    async with gateway(StreamLimits(stream_seconds=2, heartbeat_seconds=0.05)) as (client, _, _):
        async with asyncio.timeout(20):
            first = await follow(client, "o-1")
            second = await follow(client, "o-1", first[-1].id)

    assert [each.key for each in first] == ["purchase.pre-approved"]
    assert second == []


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        *(
            (seen, NO_STOCK)
            for seen in ("", "nonsense", ",,,", "purchase.approved", "a" * 4000, "stock.reserved-")
        ),
        ("purchase.pre-approved", NO_STOCK[1:]),
        ("stock.reserve-failed,purchase.pre-approved", NO_STOCK[2:]),
        ("purchase.pre-approved,stock.reserve-failed,purchase.reserve-failed", ["end"]),
    ],
)
async def test_resumed_stream_sends_what_the_last_id_does_not_name(seen: str, expected: list[str]):
    answers = {
        "GetOrderHistory": [history("pre-approved", "reserve-failed")],
        "GetReservation": [REFUSED],
    }
    async with gateway(**answers) as (client, _, _):
        sent = await follow(client, "o-1", seen)

    assert [each.key for each in sent] == expected


async def test_stream_ends_once_the_order_is_settled_although_no_event_is_new():
    answers = {
        "GetOrderHistory": [history("pre-approved", "reserve-failed")],
        "GetReservation": [Failure(grpc.StatusCode.INTERNAL), REFUSED],
    }
    async with gateway(StreamLimits(heartbeat_seconds=60), **answers) as (client, _, _):
        async with asyncio.timeout(20):
            sent = await follow(client, "o-1", ",".join(NO_STOCK[:-1]))

    assert [each.key for each in sent] == ["end"]


async def test_followers_over_the_limit_are_rejected_until_one_leaves():
    async with gateway(StreamLimits(max_streams=2)) as (client, feeds, app):
        answers = [await followed(app) for _ in range(2)]

        for path in (EVENTS, "/v1/orders/o-1?wait=5"):
            rejected = await client.get(path)
            assert_problem(rejected, 503, "too-many-streams")
            assert rejected.headers["retry-after"]
        answers[0].gone.set()
        await answers[0].task
        third = await followed(app)

        for answer in (answers[1], third):
            answer.gone.set()
            await answer.task
        assert not feeds._feeds


async def test_followers_do_not_count_as_concurrent_requests():
    async with gateway(limits=RequestLimits(concurrent_requests=1)) as (client, _, app):
        answers = [await followed(app) for _ in range(3)]

        assert (await client.get("/v1/items")).status_code == 200

        for answer in answers:
            answer.gone.set()
            await answer.task


async def test_client_that_does_not_read_is_disconnected():
    async with gateway(StreamLimits(heartbeat_seconds=0.02), RequestLimits(send_seconds=0.1)) as (
        _,
        feeds,
        app,
    ):
        answer = await followed(app)

        answer.reads.clear()

        async with asyncio.timeout(5):
            await answer.task
        assert not feeds._feeds


@pytest.mark.parametrize("path", ["/docs/swagger-ui-bundle.js", "/v1/items"])
async def test_answer_that_is_not_read_does_not_keep_its_slot(path):
    limits = RequestLimits(concurrent_requests=1, send_seconds=0.1)
    async with gateway(limits=limits) as (client, _, app):
        answer = await get(app, path)
        answer.reads.clear()

        async with asyncio.timeout(5):
            await answer.task

        assert (await client.get("/v1/items")).status_code == 200


@pytest.mark.parametrize("status", ["points2-granted", f"points2-{'x' * 56}", "points2-a_B.c"])
async def test_added_event_is_not_repeated_after_a_reconnect(status):
    async with gateway() as (_, feeds, app):
        first = await followed(app)
        feeds.receive("points2", TicketMessage("o-1", status, ()), noon(1), False)
        await eventually(lambda: b"points2" in first.body)
        last_id = first.body.rpartition(b"id: ")[2].partition(b"\n")[0]

        second = await get(app, EVENTS, [(b"last-event-id", last_id)])
        await eventually(lambda: b"retry" in second.body)
        feeds.receive("stock", TicketMessage("o-1", "reserved", ()), noon(2), False)
        await eventually(lambda: b"reserved" in second.body)

        for answer in (first, second):
            answer.gone.set()
            await answer.task
    data = second.body.partition(b"data: ")[2]
    assert second.body.count(b"data: ") == 1
    assert b'"service":"stock"' in data


@pytest.mark.parametrize("status", ["points2-a\nid: x", "points2-a,b", "points2-ä", "points2-a b"])
async def test_status_that_no_id_can_hold_is_not_sent(status):
    async with gateway() as (_, feeds, app):
        answer = await followed(app)

        feeds.receive("points2", TicketMessage("o-1", status, ()), noon(1), False)
        feeds.receive("stock", TicketMessage("o-1", "reserved", ()), noon(2), False)
        await eventually(lambda: b"reserved" in answer.body)

        answer.gone.set()
        await answer.task
    assert b"points2" not in answer.body


async def test_feed_ends_when_its_client_disconnects():
    async with gateway() as (_, feeds, app):
        answer = await followed(app)
        assert feeds._feeds

        answer.gone.set()

        async with asyncio.timeout(5):
            await answer.task
        assert not feeds._feeds


async def test_streams_end_when_the_gateway_stops():
    async with gateway() as (_, feeds, app):
        answer = await followed(app)

        feeds.close()

        async with asyncio.timeout(5):
            await answer.task
        assert b"event: end" not in answer.body


async def test_gateway_without_broker_has_no_streams_and_does_not_wait():
    async with gateway(has_broker=False) as (client, _, _):
        began = time.monotonic()
        streamed = await client.get(EVENTS)
        polled = await client.get("/v1/orders/o-1", params={"wait": 20})

    assert_problem(streamed, 501, "streams-unavailable")
    assert polled.status_code == 200
    assert time.monotonic() - began < 10
