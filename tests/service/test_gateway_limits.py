"""Limits of requests, and what other origins may read."""

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager

import httpx
import pytest

from services.gateway.app import Lifecycle, create_app
from services.gateway.clients import Clients
from services.gateway.middleware import MiddlewareConfig
from services.gateway.settings import RequestLimits
from tests.service.gateway_harness import assert_problem, fakes, targets_of

CART = "/v1/carts/c-1"


@asynccontextmanager
async def gateway(config: MiddlewareConfig, peer: str = "192.0.2.1", **answers):
    """A client, with the address `peer`, of a gateway to fakes; and the fake of purchase."""
    async with AsyncExitStack() as stack:
        services = await stack.enter_async_context(fakes(**answers))
        app = create_app(
            Clients(targets_of(services.values()), config.limits.request_seconds), Lifecycle(), config
        )
        await stack.enter_async_context(app.router.lifespan_context(app))
        transport = httpx.ASGITransport(app, raise_app_exceptions=False, client=(peer, 1))
        client = httpx.AsyncClient(transport=transport, base_url="http://localhost")
        yield await stack.enter_async_context(client), services["purchase"]


async def test_retry_after_is_in_whole_seconds():
    async with gateway(MiddlewareConfig(RequestLimits(rate_per_client=0.01))) as (client, _):
        await client.get(CART)

        answer = await client.get(CART)

    assert 90 <= int(answer.headers["retry-after"]) <= 100


@pytest.mark.parametrize(("trusted_proxies", "told_apart"), [(0, False), (1, True), (2, False)])
async def test_forwarded_addresses_count_only_as_far_as_proxies_are_trusted(trusted_proxies, told_apart):
    """With two proxies the last address is the second one's peer, which is the same for all."""
    limits = RequestLimits(rate_per_client=0.01, trusted_proxies=trusted_proxies)
    async with gateway(MiddlewareConfig(limits)) as (client, _):
        answers = [
            await client.get(CART, headers={"X-Forwarded-For": f"10.0.0.1, 198.51.100.{n}"}) for n in range(2)
        ]

    assert [answer.status_code == 200 for answer in answers] == [True, told_apart]


async def test_probes_are_not_limited():
    async with gateway(MiddlewareConfig(RequestLimits(rate_per_client=1, rate_overall=1))) as (client, _):
        answers = [await client.get("/healthz") for _ in range(5)]

    assert {answer.status_code for answer in answers} == {200}


async def test_no_request_is_rejected_without_limits():
    async with gateway(MiddlewareConfig()) as (client, _):
        answers = await asyncio.gather(*(client.get(CART) for _ in range(200)))

    assert {answer.status_code for answer in answers} == {200}


async def test_calls_get_the_remaining_time_of_the_request():
    """A slow body leaves the call only the rest."""
    seen = []

    async def slow_body():
        await asyncio.sleep(2)
        yield b'{"count": 1}'

    async with gateway(MiddlewareConfig(RequestLimits(request_seconds=30))) as (client, purchase):
        purchase.deadlines = seen
        await client.get(CART)
        await client.put(f"{CART}/items/blue", content=slow_body())

    prompt, late = seen
    # gRPC rounds up.
    assert 15 < prompt < 30.2
    assert 10 < late < 28.2


async def test_answers_name_no_server_and_allow_no_other_origin():
    preflight = {"Origin": "https://shop.example", "Access-Control-Request-Method": "PUT"}
    async with gateway(MiddlewareConfig()) as (client, _):
        answers = [await client.options(CART, headers=preflight), await client.get(CART, headers=preflight)]

    for answer in answers:
        assert not any(name.startswith(("access-control", "server")) for name in answer.headers)


async def test_origins_that_are_not_named_may_not_read_answers():
    async with gateway(MiddlewareConfig(cors_origins=("https://shop.example",))) as (client, _):
        named = await client.get(CART, headers={"Origin": "https://shop.example"})
        other = await client.get(CART, headers={"Origin": "https://evil.example"})

    assert named.headers["access-control-allow-origin"] == "https://shop.example"
    assert "ETag" in named.headers["access-control-expose-headers"]
    assert "access-control-allow-origin" not in other.headers
    assert "access-control-allow-credentials" not in named.headers


async def test_unexpected_error_of_a_service_is_not_shown():
    async def fail():
        raise ZeroDivisionError("secret")

    async with gateway(MiddlewareConfig(), GetCart=[fail]) as (client, _):
        answer = await client.get(CART)

    assert_problem(answer, 500, "unknown")
    assert "secret" not in answer.text
    assert "Traceback" not in answer.text
