"""The client with late, lost and wrong responses: what it retries, when it stops, which error it raises."""

import httpx
import pytest

import sagaclient
from sagaclient import (
    APIStatusError,
    BadRequest,
    Cart,
    Conflict,
    Forbidden,
    InvalidResponseError,
    NotFound,
    Order,
    RetryPolicy,
    SagaClient,
    SagaClientError,
    TransportError,
    Unauthenticated,
    Unavailable,
)
from tests.support.api import LOST, Api, ok, problem

CART = {"cartid": "c", "status": "open", "cart_items": []}


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:80800",
        "http://127.0.0.1:abc",
        "127.0.0.1:8080",
        "ftp://127.0.0.1",
        "http://",
        "http://a..b",
        f"http://{'x' * 64}",
        "http://a\nb",
    ],
)
def test_url_that_no_server_has_is_an_error_of_the_client(url):
    with pytest.raises(SagaClientError, match="invalid URL"):
        SagaClient(url)


@pytest.mark.parametrize(
    "failure",
    [
        httpx.ConnectError("connection refused"),
        httpx.ReadTimeout("too slow"),
        LOST,
        problem(429),
        problem(502),
        problem(503),
        problem(504),
        problem(409, "contention"),
    ],
)
async def test_retryable_failure_is_retried_with_the_same_key(failure):
    api = Api(failure, failure, ok(CART))

    async with api.client() as client:
        assert await client.create_cart("c") == Cart("c", "open", ())

    first, *retries = api.keys
    assert first
    assert retries == [first, first]


@pytest.mark.parametrize(
    ("response", "error"),
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
async def test_rejection_is_not_retried(response, error):
    api = Api(response)

    async with api.client() as client:
        with pytest.raises(APIStatusError) as raised:
            await client.create_cart("c")

    rejection = raised.value
    assert type(rejection) is error
    assert (rejection.status, rejection.reason, rejection.detail) == (response.status_code, "odd", "so")
    assert len(api.requests) == 1


async def test_each_change_has_its_own_key_and_a_read_has_none():
    api = Api(ok(CART), ok(CART), ok(CART))

    async with api.client() as client:
        await client.set_item("c", "blue", 1)
        await client.set_item("c", "blue", 1)
        await client.get_cart("c")

    one, two, none = api.keys
    assert len({one, two}) == 2
    assert none is None


async def test_retries_stop_after_the_last_attempt():
    api = Api(LOST, problem(503), LOST)

    async with api.client() as client:
        with pytest.raises(TransportError, match="connection reset"):
            await client.create_cart("c")

    assert len(api.requests) == 3


def test_retry_after_is_respected_up_to_its_limit():
    retries = RetryPolicy(max_attempts=3, initial_backoff=1, max_retry_after=30)
    error = Unavailable(503, "busy", "", retry_after_seconds=7)

    assert 7.5 <= retries.delay(0, error) <= 8
    assert retries.delay(0, Unavailable(503, "busy", "", retry_after_seconds=31)) is None


def test_delays_double_up_to_a_limit_and_end():
    retries = RetryPolicy(max_attempts=6, initial_backoff=1, max_backoff=4)
    delays = [retries.delay(attempt, TransportError("")) for attempt in range(6)]

    for delay, longest in zip(delays[:5], [1, 2, 4, 4, 4], strict=True):
        assert longest / 2 <= delay <= longest
    assert delays[5] is None


async def test_error_has_the_retry_after_of_the_server():
    api = Api(problem(429, "too-many", **{"Retry-After": "3600"}))

    async with api.client() as client:
        with pytest.raises(Unavailable) as raised:
            await client.get_cart("c")

    assert raised.value.retry_after_seconds == 3600


@pytest.mark.parametrize(
    "content", [b"<html>", b"[]", b"[" * 100_000, b"\xff", b'{"cartid": "c"}', b'{"cart_items": 1}']
)
async def test_unexpected_response_is_an_invalid_response(content):
    async with Api(httpx.Response(200, content=content)).client() as client:
        with pytest.raises(InvalidResponseError):
            await client.get_cart("c")


@pytest.mark.parametrize("content", [b"not here", b"[" * 100_000, b"9" * 10_000])
async def test_error_response_without_a_problem_has_the_reason_unknown(content):
    async with Api(httpx.Response(404, content=content)).client() as client:
        with pytest.raises(NotFound) as raised:
            await client.get_cart("c")

    assert raised.value.reason == "unknown"


async def test_token_is_requested_for_every_attempt():
    tokens = iter(["one", "two"])
    api = Api(LOST, ok(CART))

    async with api.client(token=lambda: next(tokens)) as client:
        await client.get_cart("c")

    assert [request.headers["Authorization"] for request in api.requests] == ["Bearer one", "Bearer two"]


async def test_ids_are_quoted_into_one_path_segment():
    api = Api(ok(CART))

    async with api.client() as client:
        await client.set_item("../x", "a/b?c", 1)

    assert api.requests[0].url.raw_path == b"/v1/carts/..%2Fx/items/a%2Fb%3Fc"


ORDER = {"orderid": "o", "status": "reserved", "cart_items": []}


async def test_wait_for_order_waits_at_the_server_until_the_order_is_final():
    api = Api(ok(ORDER), ok({**ORDER, "status": "canceled", "reason": "client"}))

    async with api.client() as client:
        order = await client.wait_for_order("o", seconds=10)

    assert order == Order("o", "canceled", (), reason="client")
    assert len(api.requests) == 2
    for request in api.requests:
        wait = float(request.url.params["wait"])
        assert 9 < wait <= 10
        assert request.extensions["timeout"]["read"] == pytest.approx(15 + wait, abs=0.01)


async def test_order_with_a_status_of_a_newer_api_is_returned_as_it_is_and_not_final():
    api = Api(ok({**ORDER, "status": "teleported"}))

    async with api.client() as client:
        order = await client.wait_for_order("o", seconds=0)

    assert (order.status, order.is_final) == ("teleported", False)


def test_every_error_is_exported():
    tree = [sagaclient.SagaClientError, *_below(sagaclient.SagaClientError)]

    assert {error.__name__ for error in tree} <= set(sagaclient.__all__)


def _below(kind: type[Exception]) -> list[type[Exception]]:
    return [each for sub in kind.__subclasses__() for each in (sub, *_below(sub))]
