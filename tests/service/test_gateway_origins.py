"""Requests that a browser sends on behalf of a page of another origin, while authentication is disabled."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest

from services.gateway.app import Lifecycle, create_app
from services.gateway.clients import Clients
from services.gateway.middleware import MiddlewareConfig
from tests.service.gateway_harness import FakeService, assert_problem, client_of, fakes, targets_of

CREATE_CART = ("POST", "/purchase/api/create_cart", b'{"cartid":"c-1"}')
PUT_CART = ("PUT", "/v1/carts/c-1", b"")
CHECKOUT = ("POST", "/v1/carts/c-1:checkout", b"")
GET_CART = ("GET", "/v1/carts/c-1", b"")
LOCAL = {"host": "127.0.0.1:8080"}
SAME_ORIGIN = {**LOCAL, "origin": "http://127.0.0.1:8080", "sec-fetch-site": "same-origin"}
FOREIGN_PAGES = {
    "origin": {**LOCAL, "origin": "https://evil.example", "content-type": "text/plain"},
    "origin and relation": {**LOCAL, "origin": "https://evil.example", "sec-fetch-site": "cross-site"},
    "relation alone": {**LOCAL, "sec-fetch-site": "cross-site"},
    "another port of this machine": {**LOCAL, "origin": "http://127.0.0.1:9999"},
    "another host of the same site": {**LOCAL, "sec-fetch-site": "same-site"},
    "a sandboxed frame": {**LOCAL, "origin": "null"},
    "a form, whose answer is shown": {
        **LOCAL,
        "origin": "https://evil.example",
        "sec-fetch-site": "cross-site",
        "sec-fetch-mode": "navigate",
        "sec-fetch-dest": "document",
    },
}
REBOUND = {
    "a foreign name": {"host": "evil.example:8080", "origin": "http://evil.example:8080"},
    "a foreign name without an origin": {"host": "evil.example"},
    "a name that begins like a loopback name": {"host": "localhost.evil.example"},
    "a name that ends like one": {"host": "evillocalhost"},
    "a malformed name": {"host": "[evil"},
    "no name": {"host": ""},
}


@asynccontextmanager
async def open_gateway(**config) -> AsyncIterator[tuple[httpx.AsyncClient, FakeService]]:
    """Context manager: a client of a gateway without authentication, and the fake of purchase."""
    async with fakes() as services:
        clients = Clients(targets_of(services.values()), 10)
        async with client_of(create_app(clients, Lifecycle(), MiddlewareConfig(**config))) as client:
            yield client, services["purchase"]


async def send(client: httpx.AsyncClient, request, headers) -> httpx.Response:
    method, path, body = request
    return await client.request(method, path, content=body, headers=headers)


@pytest.mark.parametrize("request_", [CREATE_CART, PUT_CART, CHECKOUT], ids=lambda each: each[1])
@pytest.mark.parametrize("headers", FOREIGN_PAGES.values(), ids=FOREIGN_PAGES)
async def test_page_of_another_origin_changes_nothing(request_, headers):
    async with open_gateway() as (client, purchase):
        answer = await send(client, request_, headers)

    assert_problem(answer, 403, "cross-origin-forbidden")
    assert purchase.asked == []


@pytest.mark.parametrize("request_", [CREATE_CART, GET_CART, ("GET", "/ui", b"")], ids=lambda each: each[1])
@pytest.mark.parametrize("headers", REBOUND.values(), ids=REBOUND)
async def test_page_whose_host_name_was_rebound_reads_and_changes_nothing(request_, headers):
    async with open_gateway() as (client, purchase):
        answer = await send(client, request_, headers)

    assert_problem(answer, 403, "host-not-allowed")
    assert purchase.asked == []


@pytest.mark.parametrize(
    "headers",
    [
        LOCAL,
        SAME_ORIGIN,
        {**LOCAL, "sec-fetch-site": "none"},  # typed into the address bar
        {"host": "LOCALHOST:30080", "origin": "http://localhost:30080"},
        {"host": "localhost"},
        {"host": "[::1]:8080", "origin": "http://[::1]:8080"},
        {"host": "shop.localhost:8080"},
        # An address is what it is, whatever a name server answers.
        {"host": "192.0.2.7:30080", "origin": "http://192.0.2.7:30080"},
    ],
    ids=str,
)
async def test_scripts_and_pages_of_the_gateway_are_served(headers):
    async with open_gateway() as (client, purchase):
        for request in (CREATE_CART, PUT_CART, GET_CART):
            assert (await send(client, request, headers)).is_success

    assert len(purchase.asked) == 3


async def test_link_from_another_page_may_be_followed():
    """Its answer is shown in a window of its own, and not readable for the page that has the link."""
    navigation = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}
    async with open_gateway() as (client, _):
        page = await client.get("/ui", headers={**LOCAL, **navigation})
        frame = await client.get("/ui", headers={**LOCAL, **navigation, "sec-fetch-dest": "iframe"})

    assert page.status_code == 200
    assert_problem(frame, 403, "cross-origin-forbidden")


async def test_client_without_a_host_header_is_no_browser():
    async with fakes() as services:
        app = create_app(Clients(targets_of(services.values()), 10), Lifecycle())
        async with client_of(app) as client:
            request = client.build_request("POST", "/v1/carts/c-1:close")
            del request.headers["host"]
            assert (await client.send(request)).status_code == 200


async def test_probes_are_answered_under_any_name():
    async with open_gateway() as (client, _):
        answers = [await client.get(path, headers={"host": "gateway"}) for path in ("/healthz", "/readyz")]

    assert [answer.status_code for answer in answers] == [200, 200]


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("gateway", 200),
        ("gateway:80", 200),
        ("a.shop.example", 200),
        ("shop.example", 403),
        ("evilshop.example", 403),
        ("localhost", 200),
    ],
)
async def test_configured_host_names_are_answered(host, status):
    async with open_gateway(allowed_hosts=["gateway", "*.shop.example"]) as (client, _):
        assert (await send(client, CREATE_CART, {"host": host})).status_code == status


async def test_page_of_a_configured_origin_is_served():
    from_shop = {**LOCAL, "origin": "https://shop.example", "sec-fetch-site": "cross-site"}
    async with open_gateway(cors_origins=["https://shop.example"]) as (client, _):
        trusted = await send(client, CREATE_CART, from_shop)
        other = await send(client, CREATE_CART, {**from_shop, "origin": "https://evil.example"})

    assert trusted.headers["access-control-allow-origin"] == "https://shop.example"
    assert_problem(other, 403, "cross-origin-forbidden")
