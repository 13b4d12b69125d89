"""The client's event stream: what continues it, what ends it, and how often it reconnects."""

import json
from collections.abc import AsyncIterator

import httpx
import pytest

from sagaclient import InvalidResponseError, NotFound, OrderEvent, RetryPolicy, TransportError
from sagaclient.events import SILENCE_TIMEOUT_SECONDS, STABLE_AFTER_SECONDS, follow
from sagaclient.transport import Transport
from tests.support.api import LOST, Api, Response, problem

ATTEMPTS = 3


class Clock:
    """A clock that sleeping sets forward."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.slept: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.seconds += seconds
        self.slept.append(seconds)


class Follower:
    """Follows the order `o` at an API with the given responses."""

    def __init__(self, *responses: Response, last_event_id: str = "") -> None:
        self.api, self.clock = Api(*responses), Clock()
        self.events: list[OrderEvent] = []
        self._last_event_id = last_event_id

    async def follow(self) -> list[OrderEvent]:
        policy = RetryPolicy(max_attempts=ATTEMPTS, initial_backoff=0.1)
        async with httpx.AsyncClient(base_url="http://api", transport=self.api) as http:
            transport = Transport(http, None, policy, self.clock.sleep, lambda: self.clock.seconds)
            async for event in follow(transport, "o", self._last_event_id):
                self.events.append(event)
        return self.events

    @property
    def resumed_after(self) -> list[str | None]:
        return [request.headers.get("Last-Event-ID") for request in self.api.requests]


def sent(text: str) -> httpx.Response:
    return httpx.Response(200, text=text, headers={"content-type": "text/event-stream"})


def stream(*events: tuple[str, str, dict]) -> httpx.Response:
    return sent(
        ": keep-alive\n\n"
        + "".join(f"event: {name}\nid: {id_}\ndata: {json.dumps(data)}\n\n" for name, id_, data in events)
    )


def moved(status: str, id_: str) -> tuple[str, str, dict]:
    return ("move", id_, {"service": "purchase", "status": status, "time": "now"})


END = ("end", "a,b,end", {"orderid": "o", "status": "approved"})


async def test_interrupted_stream_continues_after_the_last_event():
    responses = [
        LOST,
        stream(moved("pre-approved", "a")),
        problem(503),
        stream(moved("approved", "a,b"), END),
    ]
    follower = Follower(*responses)

    assert await follower.follow() == [
        OrderEvent("a", "purchase", "pre-approved", "now"),
        OrderEvent("a,b", "purchase", "approved", "now"),
        OrderEvent("a,b,end", None, "approved"),
    ]
    assert follower.resumed_after == [None, None, "a", "a"]


async def test_stream_after_its_end_is_empty():
    assert await Follower(httpx.Response(204), last_event_id="a,b,end").follow() == []


@pytest.mark.parametrize(
    ("responses", "error"),
    [
        ([LOST, LOST, LOST], TransportError),
        ([problem(404)], NotFound),
        ([stream(("move", "a", {}))], InvalidResponseError),
        ([sent("id: a\ndata: [1]\n\n")], InvalidResponseError),
        ([sent("id: a\ndata: no json\n\n")], InvalidResponseError),
    ],
)
async def test_stream_raises_what_is_not_retried(responses, error):
    with pytest.raises(error):
        await Follower(*responses).follow()


async def test_server_that_accepts_and_drops_is_not_asked_for_ever():
    follower = Follower(*[stream()] * ATTEMPTS)

    with pytest.raises(TransportError, match="closed before its end"):
        await follower.follow()

    assert len(follower.api.requests) == ATTEMPTS
    # With growing delays.
    assert follower.clock.slept[1] >= 0.1


async def test_server_that_repeats_an_event_and_drops_is_not_asked_for_ever():
    follower = Follower(*[stream(moved("pre-approved", "a"))] * ATTEMPTS)

    with pytest.raises(TransportError):
        await follower.follow()

    assert len(follower.api.requests) == ATTEMPTS


async def test_each_connection_that_brings_an_event_resets_the_attempts():
    drops = [stream()] * (ATTEMPTS - 2)
    progress = [each for id_ in "abc" for each in (stream(moved("pre-approved", id_)), *drops)]
    follower = Follower(*progress, stream(END))

    assert [event.id for event in await follower.follow()] == ["a", "b", "c", "a,b,end"]


async def test_connection_that_lasted_resets_the_attempts():
    """An order may wait for hours, and the API ends each stream after a quarter of one."""
    follower = Follower()

    async def heartbeats() -> AsyncIterator[bytes]:
        yield b": still here\n\n"
        # More than that: the difference of two rounded sums may be a little less than what was added.
        follower.clock.seconds += STABLE_AFTER_SECONDS + 1

    lasting = [httpx.Response(200, content=heartbeats()) for _ in range(3 * ATTEMPTS)]
    follower.api = Api(*lasting, stream(END))

    assert [event.id for event in await follower.follow()] == ["a,b,end"]


async def test_silent_connection_times_out_after_missed_heartbeats():
    follower = Follower(stream(END))
    await follower.follow()

    [request] = follower.api.requests
    assert request.extensions["timeout"]["read"] == SILENCE_TIMEOUT_SECONDS


@pytest.mark.parametrize(("hint", "expected"), [("1500", 1.5), ("86400000", RetryPolicy().max_retry_after)])
async def test_delay_that_the_server_asks_for_is_respected_within_limits(hint: str, expected: float):
    follower = Follower(sent(f"retry: {hint}\n\n"), stream(END))

    await follower.follow()

    assert follower.clock.slept == [expected]


@pytest.mark.parametrize("hint", ["-1", "soon", "", "1.5", "\u0661"])
async def test_malformed_delay_is_ignored(hint: str):
    follower = Follower(sent(f"retry: {hint}\n\n"), stream(END))

    await follower.follow()

    assert follower.clock.slept[0] <= 0.1


@pytest.mark.parametrize(
    "text",
    [
        'id: a\ndata: {"status":"paid",\ndata: "service":"payment"}\n\n',
        'id: a\r\ndata: {"status":"paid",\r\ndata: "service":"payment"}\r\n\r\n',
        'id:a\ndata:{"status":"paid","service":"payment"}\n\n',
        ': comment\nunknown: field\nevent\nid: a\ndata: {"status":"paid","service":"payment"}\n\n',
        'id: a\n\ndata: {"status":"paid","service":"payment"}\n\n',
        'data: {"status":"paid","service":"payment"}\nid: b\0\nid: a\n\n',
    ],
    ids=["lines", "CRLF", "no blanks", "unknown fields", "id before", "id after"],
)
async def test_events_are_parsed_by_the_standard(text: str):
    follower = Follower(sent(text), stream(END))

    assert (await follower.follow())[0] == OrderEvent("a", "payment", "paid")


async def test_event_that_is_cut_off_is_received_again():
    follower = Follower(sent('id: a\ndata: {"status":"paid"}\n'), stream(moved("pre-approved", "a"), END))

    assert [event.id for event in await follower.follow()] == ["a", "a,b,end"]
    assert follower.resumed_after == [None, None]
