"""What a stream sends to whom, and for how long."""

import asyncio
import time
from collections.abc import Sequence
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest

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
REFUSED = ["purchase.pre-approved", "stock.reserve-failed", "purchase.reserve-failed", "end"]


def noon(second: int) -> str:
    return f"2026-11-21T12:00:0{second}.000Z"


def history(*statuses: str) -> purchase_pb2.GetOrderHistoryResponse:
    """A history of those, one after the other."""
    moves = [{"status": status, "time": noon(2 * at), "cause": status} for at, status in enumerate(statuses)]
    return purchase_pb2.GetOrderHistoryResponse(orderid="o-1", history=moves)


@asynccontextmanager
async def gateway(
    stream_limits: StreamLimits = STREAM_LIMITS,
    limits: RequestLimits = REQUEST_LIMITS,
    *,
    hears: bool = True,
    **answers: Sequence[Any],
):
    """A client of a gateway before fakes that know one order, which stays as it is; with its feeds."""
    nothing = [Failure(grpc.StatusCode.NOT_FOUND)]
    only = {"GetReservation": nothing, "GetPayment": nothing, "GetDelivery": nothing}
    async with fakes(**{"GetOrderHistory": [history("pre-approved")], **only, **answers}) as services:
        clients = Clients(targets_of(services.values()), 10)
        feeds = OrderFeeds(SnapshotReader(clients).read, Runtime())
        app = create_app(
            clients, Lifecycle(), MiddlewareConfig(limits), feeds if hears else None, stream_limits
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
    """A stream that has begun."""
    answer = await get(app, EVENTS)
    await eventually(lambda: b"move" in answer.body)
    return answer


class Answer:
    """What a server sends to a client that may stop taking it, or go."""

    def __init__(self) -> None:
        self.started: list[int] = []
        self.body = b""
        self.takes = asyncio.Event()
        self.takes.set()
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
        await self.takes.wait()
        if message["type"] == "http.response.start":
            self.started.append(message["status"])
        else:
            self.body += message["body"]


async def test_silence_is_filled_with_comments():
    async with gateway(StreamLimits(heartbeat_seconds=0.02)) as (_, _, app):
        answer = await get(app, EVENTS)

        await eventually(lambda: answer.body.count(HEARTBEAT.encode()) >= 3)

        answer.gone.set()
        await answer.task


async def test_a_stream_lasts_so_long_and_can_be_gone_on_with():
    async with gateway(StreamLimits(stream_seconds=2, heartbeat_seconds=0.05)) as (client, _, _):
        async with asyncio.timeout(20):
            first = await follow(client, "o-1")
            second = await follow(client, "o-1", first[-1].id)

    assert [each.word for each in first] == ["purchase.pre-approved"]
    assert second == []


@pytest.mark.parametrize(
    ("seen", "told"),
    [
        *(
            (seen, REFUSED)
            for seen in ("", "nonsense", ",,,", "purchase.approved", "a" * 4000, "stock.reserved-")
        ),
        ("purchase.pre-approved", REFUSED[1:]),
        ("stock.reserve-failed,purchase.pre-approved", REFUSED[2:]),
        ("purchase.pre-approved,stock.reserve-failed,purchase.reserve-failed", ["end"]),
    ],
)
async def test_what_the_last_id_names_is_not_told_again_and_all_else_is(seen: str, told: list[str]):
    answers = {
        "GetOrderHistory": [history("pre-approved", "reserve-failed")],
        "GetReservation": [
            stock_pb2.GetReservationResponse(reservation={"status": "refused", "time": noon(1)})
        ],
    }
    async with gateway(**answers) as (client, _, _):
        sent = await follow(client, "o-1", seen)

    assert [each.word for each in sent] == told


async def test_who_has_seen_the_end_is_not_to_come_back():
    async with gateway() as (client, _, _):
        answer = await client.get(EVENTS, headers={"Last-Event-ID": "purchase.pre-approved,end"})

    assert answer.status_code == 204


async def test_so_many_follow_and_no_more_until_one_goes():
    async with gateway(StreamLimits(max_streams=2)) as (client, feeds, app):
        answers = [await followed(app) for _ in range(2)]

        for path in (EVENTS, "/v1/orders/o-1?wait=5"):
            refused = await client.get(path)
            assert_problem(refused, 503, "too-many-followers")
            assert refused.headers["retry-after"]
        answers[0].gone.set()
        await answers[0].task
        third = await followed(app)

        for answer in (answers[1], third):
            answer.gone.set()
            await answer.task
        assert not feeds._feeds


async def test_followers_keep_no_requests_out():
    async with gateway(limits=RequestLimits(concurrent_requests=1)) as (client, _, app):
        answers = [await followed(app) for _ in range(3)]

        assert (await client.get("/v1/items")).status_code == 200

        for answer in answers:
            answer.gone.set()
            await answer.task


async def test_a_client_that_takes_nothing_is_cut_off():
    async with gateway(StreamLimits(heartbeat_seconds=0.02, send_seconds=0.1)) as (_, feeds, app):
        answer = await followed(app)

        answer.takes.clear()

        async with asyncio.timeout(5):
            await answer.task
        assert not feeds._feeds


async def test_a_client_that_goes_is_forgotten_at_once():
    async with gateway() as (_, feeds, app):
        answer = await followed(app)
        assert feeds._feeds

        answer.gone.set()

        async with asyncio.timeout(5):
            await answer.task
        assert not feeds._feeds


async def test_streams_end_when_the_process_stops():
    async with gateway() as (_, feeds, app):
        answer = await followed(app)

        feeds.close()

        async with asyncio.timeout(5):
            await answer.task
        assert b"event: end" not in answer.body


async def test_a_gateway_that_hears_nothing_says_so_and_keeps_nobody_waiting():
    async with gateway(hears=False) as (client, _, _):
        began = time.monotonic()
        streamed = await client.get(EVENTS)
        polled = await client.get("/v1/orders/o-1", params={"wait": 20})

    assert_problem(streamed, 501, "streams-unavailable")
    assert polled.status_code == 200
    assert time.monotonic() - began < 10
