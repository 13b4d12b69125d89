"""What the gateway keeps out, and what it says to browsers."""

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
    """A client of a gateway before fakes, seen as coming from `peer`; with the fake of purchase."""
    async with AsyncExitStack() as stack:
        services = await stack.enter_async_context(fakes(**answers))
        app = create_app(
            Clients(targets_of(services.values()), config.limits.request_seconds), Lifecycle(), config
        )
        await stack.enter_async_context(app.router.lifespan_context(app))
        transport = httpx.ASGITransport(app, raise_app_exceptions=False, client=(peer, 1))
        client = httpx.AsyncClient(transport=transport, base_url="http://test")
        yield await stack.enter_async_context(client), services["purchase"]


async def test_a_client_that_asks_too_often_is_told_when_to_come_back():
    async with gateway(MiddlewareConfig(RequestLimits(rate_per_client=1))) as (client, _):
        answers = [await client.get(CART) for _ in range(3)]

        assert [answer.status_code for answer in answers] == [200, 200, 429]
        assert_problem(answers[-1], 429, "too-many-requests")
        assert answers[-1].headers["retry-after"] == "1"


async def test_a_slow_rate_is_told_in_whole_seconds():
    async with gateway(MiddlewareConfig(RequestLimits(rate_per_client=0.01))) as (client, _):
        await client.get(CART)

        answer = await client.get(CART)

    assert answer.headers["retry-after"] == "100"


async def test_all_clients_together_are_limited_too():
    async with gateway(MiddlewareConfig(RequestLimits(rate_overall=1, trusted_proxies=1))) as (client, _):
        answers = [await client.get(CART, headers={"X-Forwarded-For": f"198.51.100.{n}"}) for n in range(3)]

    assert [answer.status_code for answer in answers] == [200, 200, 429]


@pytest.mark.parametrize(("hops", "counted_apart"), [(0, False), (1, True), (2, False)])
async def test_a_client_is_believed_about_its_address_by_trusted_proxies_alone(hops, counted_apart):
    """With two proxies the last address is the second one's peer, which is the same for all."""
    async with gateway(MiddlewareConfig(RequestLimits(rate_per_client=1, trusted_proxies=hops))) as (
        client,
        _,
    ):
        answers = [
            await client.get(CART, headers={"X-Forwarded-For": f"10.0.0.1, 198.51.100.{n}"}) for n in range(3)
        ]

    assert [answer.status_code == 200 for answer in answers] == [True, True, counted_apart]


async def test_probes_are_never_too_many():
    async with gateway(MiddlewareConfig(RequestLimits(rate_per_client=1, rate_overall=1))) as (client, _):
        answers = [await client.get("/healthz") for _ in range(5)]

    assert {answer.status_code for answer in answers} == {200}


async def test_without_limits_nobody_is_sent_away():
    async with gateway(MiddlewareConfig()) as (client, _):
        answers = await asyncio.gather(*(client.get(CART) for _ in range(200)))

    assert {answer.status_code for answer in answers} == {200}


async def test_what_is_left_of_a_requests_time_is_handed_on():
    """A body that took its time leaves the service behind it only the rest."""
    seen = []

    async def slow_body():
        await asyncio.sleep(2)
        yield b'{"count": 1}'

    async with gateway(MiddlewareConfig(RequestLimits(request_seconds=10))) as (client, purchase):
        purchase.deadlines = seen
        await client.get(CART)
        await client.put(f"{CART}/items/blue", content=slow_body())

    prompt, late = seen
    # gRPC rounds up.
    assert 8.1 < prompt < 10.1
    assert 1 < late < 8.1


async def test_every_answer_is_safe_for_browsers():
    async with gateway(MiddlewareConfig()) as (client, _):
        for answer in (await client.get("/v1/items"), await client.get("/no/such/path")):
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert answer.headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"
            assert answer.headers["referrer-policy"] == "no-referrer"
            assert "server" not in answer.headers
            assert "strict-transport-security" not in answer.headers
        assert (await client.get("/no/such/path")).headers["cache-control"] == "no-store"
        assert (await client.get("/v1/items")).headers["cache-control"] == "private, no-cache"
        # Its page loads scripts, from elsewhere.
        assert "content-security-policy" not in (await client.get("/docs")).headers


async def test_production_is_only_reached_encrypted():
    async with gateway(MiddlewareConfig(https_only=True)) as (client, _):
        answer = await client.get("/v1/items")

    assert "max-age=" in answer.headers["strict-transport-security"]


async def test_scripts_of_other_pages_read_nothing_unless_they_are_named():
    preflight = {"Origin": "https://shop.example", "Access-Control-Request-Method": "PUT"}
    async with gateway(MiddlewareConfig()) as (client, _):
        asked, read = await client.options(CART, headers=preflight), await client.get(CART, headers=preflight)
    assert not any(name.startswith("access-control") for name in (*asked.headers, *read.headers))

    async with gateway(MiddlewareConfig(cors_origins=("https://shop.example",))) as (client, _):
        asked = await client.options(
            CART, headers={**preflight, "Access-Control-Request-Headers": "authorization, idempotency-key"}
        )
        read = await client.get(CART, headers=preflight)
        stranger = await client.get(CART, headers={"Origin": "https://evil.example"})
    assert asked.status_code == 200
    assert asked.headers["access-control-allow-origin"] == "https://shop.example"
    assert read.headers["access-control-allow-origin"] == "https://shop.example"
    assert "ETag" in read.headers["access-control-expose-headers"]
    assert "access-control-allow-origin" not in stranger.headers
    assert "access-control-allow-credentials" not in read.headers


async def test_a_defect_tells_a_client_nothing():
    async def defect():
        raise ZeroDivisionError("secret of the house")

    async with gateway(MiddlewareConfig(), GetCart=[defect]) as (client, _):
        answer = await client.get(CART)

    assert_problem(answer, 500, "unknown")
    assert "secret" not in answer.text
    assert "Traceback" not in answer.text
