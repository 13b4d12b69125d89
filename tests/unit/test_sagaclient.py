"""The client where answers are late, lost or wrong: what it repeats, what it gives up, what it says then."""

import json
from collections.abc import Sequence
from dataclasses import fields
from typing import Any, get_args

import httpx
import pytest

import sagaclient
from rpc import purchase_pb2, stock_pb2
from sagaclient import (
    APIStatusError,
    BadRequest,
    Cart,
    CartItem,
    Conflict,
    Forbidden,
    InvalidResponseError,
    Item,
    NotFound,
    Order,
    OrderEvent,
    OrderHistoryEntry,
    RetryPolicy,
    SagaClient,
    TransportError,
    Unauthenticated,
    Unavailable,
)

CART = {"cartid": "c", "status": "open", "cart_items": []}
QUICK = RetryPolicy(max_attempts=3, initial_backoff=0.001)

Answer = httpx.Response | Exception


class Api(httpx.AsyncBaseTransport):
    """Answers what it is told to, one after the other, and keeps what it was asked."""

    def __init__(self, *answers: Answer) -> None:
        self._answers = list(answers)
        self.asked: list[httpx.Request] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        answer = self._answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def client(self, **how: Any) -> SagaClient:
        return SagaClient("http://api", transport=self, **{"retries": QUICK, **how})

    @property
    def keys(self) -> list[str | None]:
        return [request.headers.get("Idempotency-Key") for request in self.asked]


def ok(content: Any, status: int = 200) -> httpx.Response:
    return httpx.Response(status, json=content)


def problem(status: int, reason: str = "odd", **headers: str) -> httpx.Response:
    return httpx.Response(status, json={"status": status, "reason": reason, "detail": "so"}, headers=headers)


LOST = httpx.ReadError("the connection broke")


@pytest.mark.parametrize(
    "failure",
    [
        httpx.ConnectError("nobody there"),
        httpx.ReadTimeout("too slow"),
        LOST,
        problem(429),
        problem(502),
        problem(503),
        problem(504),
        problem(409, "contention"),
    ],
)
async def test_what_may_be_answered_otherwise_next_time_is_asked_again_under_the_same_key(failure):
    api = Api(failure, failure, ok(CART))

    async with api.client() as client:
        assert await client.create_cart("c") == Cart("c", "open", ())

    first, *others = api.keys
    assert first
    assert others == [first, first]


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (problem(400), BadRequest),
        (problem(401), Unauthenticated),
        (problem(403), Forbidden),
        (problem(404), NotFound),
        (problem(409), Conflict),
        (problem(422), sagaclient.IdempotencyKeyReused),
        (problem(405), APIStatusError),
        (problem(500), APIStatusError),
    ],
)
async def test_a_refusal_is_final(answer, error):
    api = Api(answer)

    async with api.client() as client:
        with pytest.raises(APIStatusError) as refused:
            await client.create_cart("c")

    assert type(refused.value) is error
    assert (refused.value.status, refused.value.reason, refused.value.detail) == (
        answer.status_code,
        "odd",
        "so",
    )
    assert len(api.asked) == 1


async def test_each_change_has_a_key_of_its_own_and_a_look_has_none():
    api = Api(ok(CART), ok(CART), ok(CART))

    async with api.client() as client:
        await client.set_item("c", "blue", 1)
        await client.set_item("c", "blue", 1)
        await client.get_cart("c")

    one, two, none = api.keys
    assert len({one, two}) == 2
    assert none is None


async def test_after_so_many_attempts_it_is_given_up():
    api = Api(LOST, problem(503), LOST)

    async with api.client() as client:
        with pytest.raises(TransportError, match="the connection broke"):
            await client.create_cart("c")

    assert len(api.asked) == 3


async def test_a_pause_that_is_asked_for_is_kept_and_one_that_is_too_long_is_not():
    retries = RetryPolicy(max_attempts=3, initial_backoff=1, max_retry_after=30)
    error = Unavailable(503, "away", "", retry_after_seconds=7)

    assert 7.5 <= retries.pause(0, error) <= 8
    assert retries.pause(0, Unavailable(503, "away", "", retry_after_seconds=31)) is None


def test_pauses_double_up_to_a_limit_and_end():
    retries = RetryPolicy(max_attempts=6, initial_backoff=1, max_backoff=4)
    pauses = [retries.pause(attempt, TransportError("")) for attempt in range(6)]

    for pause, longest in zip(pauses[:5], [1, 2, 4, 4, 4], strict=True):
        assert longest / 2 <= pause <= longest
    assert pauses[5] is None


async def test_a_server_that_says_when_to_come_back_is_heard():
    api = Api(problem(429, "too-many", **{"Retry-After": "3600"}))

    async with api.client() as client:
        with pytest.raises(Unavailable) as refused:
            await client.get_cart("c")

    assert refused.value.retry_after_seconds == 3600


@pytest.mark.parametrize("content", [b"<html>", b"[]", b'{"cartid": "c"}', b'{"cart_items": 1}'])
async def test_what_is_no_answer_of_the_api_is_said_to_be_none(content):
    async with Api(httpx.Response(200, content=content)).client() as client:
        with pytest.raises(InvalidResponseError):
            await client.get_cart("c")


async def test_a_refusal_that_is_no_problem_is_a_refusal_all_the_same():
    async with Api(httpx.Response(404, content=b"not here")).client() as client:
        with pytest.raises(NotFound) as refused:
            await client.get_cart("c")

    assert refused.value.reason == "unknown"


async def test_the_token_is_asked_for_with_every_request():
    tokens = iter(["one", "two"])
    api = Api(LOST, ok(CART))

    async with api.client(token=lambda: next(tokens)) as client:
        await client.get_cart("c")

    assert [request.headers["Authorization"] for request in api.asked] == ["Bearer one", "Bearer two"]


async def test_ids_stay_in_their_segment_of_the_path():
    api = Api(ok(CART))

    async with api.client() as client:
        await client.set_item("../x", "a/b?c", 1)

    assert api.asked[0].url.raw_path == b"/v1/carts/..%2Fx/items/a%2Fb%3Fc"


ORDER = {"orderid": "o", "status": "reserved", "cart_items": []}


async def test_the_end_of_an_order_is_waited_for_at_the_server_and_no_longer_than_it_takes():
    api = Api(ok(ORDER), ok({**ORDER, "status": "canceled", "reason": "client"}))

    async with api.client() as client:
        order = await client.wait_for_order("o", seconds=10)

    assert order == Order("o", "canceled", (), reason="client")
    assert len(api.asked) == 2
    for request in api.asked:
        wait = float(request.url.params["wait"])
        assert 9 < wait <= 10
        assert request.extensions["timeout"]["read"] == pytest.approx(15 + wait, abs=0.01)


def stream(*events: tuple[str, str, dict]) -> httpx.Response:
    text = "retry: 1000\n\n: still here\n\n" + "".join(
        f"event: {name}\nid: {id_}\ndata: {json.dumps(data)}\n\n" for name, id_, data in events
    )
    return httpx.Response(200, text=text, headers={"content-type": "text/event-stream"})


def moved(status: str, id_: str) -> tuple[str, str, dict]:
    return ("move", id_, {"service": "purchase", "status": status, "time": "now"})


END = ("end", "a,b,end", {"orderid": "o", "status": "approved"})


async def test_a_stream_that_breaks_off_is_gone_on_with_where_it_did():
    api = Api(LOST, stream(moved("pre-approved", "a")), problem(503), stream(moved("approved", "a,b"), END))

    async with api.client() as client:
        events = [event async for event in client.order_events("o")]

    assert events == [
        OrderEvent("a", "purchase", "pre-approved", "now"),
        OrderEvent("a,b", "purchase", "approved", "now"),
        OrderEvent("a,b,end", None, "approved"),
    ]
    seen = [request.headers.get("Last-Event-ID") for request in api.asked]
    assert seen == [None, None, "a", "a"]


async def test_a_stream_whose_end_was_seen_is_empty():
    async with Api(httpx.Response(204)).client() as client:
        assert [event async for event in client.order_events("o", "a,b,end")] == []


async def test_a_stream_that_never_opens_is_given_up():
    api = Api(LOST, LOST, LOST)

    async with api.client() as client:
        with pytest.raises(TransportError):
            await anext(client.order_events("o"))


async def test_the_stream_of_an_unknown_order_is_not_found():
    async with Api(problem(404)).client() as client:
        with pytest.raises(NotFound):
            await anext(client.order_events("o"))


async def test_an_event_that_is_none_is_a_bad_answer():
    async with Api(stream(("move", "a", {}))).client() as client:
        with pytest.raises(InvalidResponseError):
            await anext(client.order_events("o"))


MODELS: Sequence[tuple[type, Any]] = (
    (CartItem, purchase_pb2.CartItem),
    (Cart, purchase_pb2.Cart),
    (Order, purchase_pb2.OrderTicket),
    (OrderHistoryEntry, purchase_pb2.OrderHistoryEntry),
    (Item, stock_pb2.Item),
)
PYTHON_TYPES: dict[int, type] = {9: str, 3: int, 8: bool}


@pytest.mark.parametrize(("model", "message"), MODELS, ids=lambda each: each.__name__)
def test_models_have_the_fields_and_types_of_the_messages(model, message):
    described = message.DESCRIPTOR.fields

    assert [each.name for each in fields(model)] == [field.name for field in described]
    for mine, field in zip(fields(model), described, strict=True):
        types = get_args(mine.type) or (mine.type,)
        expected = CartItem if field.message_type else PYTHON_TYPES[field.type]
        assert types[0] is expected
        assert (type(None) in types) == (field.has_presence and not field.message_type)


def test_whatever_may_be_needed_is_at_the_top():
    tree = [sagaclient.SagaClientError, *_below(sagaclient.SagaClientError)]

    assert {error.__name__ for error in tree} <= set(sagaclient.__all__)


def _below(kind: type[Exception]) -> list[type[Exception]]:
    return [each for sub in kind.__subclasses__() for each in (sub, *_below(sub))]
