"""The walk from a cart to the end of its order, through the gateway, showing every request and answer."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import httpx

from sagaclient import CartItem, Order, RetryPolicy, SagaClient, SagaClientError
from sagactl.errors import CommandError
from sagactl.local.curl_examples import fresh_id

END_SECONDS = 20.0

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Scenario:
    """What is put into a cart, and how its order is to end."""

    title: str
    items: Mapping[str, int]
    ends: str


SCENARIOS = (
    Scenario("Blue alone is paid", {"blue": 3}, "approved"),
    Scenario("Blue and red; red waives payment", {"blue": 3, "red": 2}, "approved"),
    Scenario("Yellow is sold out", {"yellow": 1}, "reserve-failed"),
    Scenario("Gold is dearer than a payment may be", {"gold": 1}, "payment-failed"),
)


def demo(gateway: str, say: Say, token: str = "") -> None:
    """Return once every walk went as it is to go; CommandError where an answer is not as expected."""
    asyncio.run(_demo(gateway, say, token))


async def _demo(gateway: str, say: Say, token: str) -> None:
    signed_in = (lambda: token) if token else None
    once = RetryPolicy(max_attempts=1)
    try:
        async with SagaClient(gateway, token=signed_in, transport=Shown(say), retries=once) as client:
            for walk in SCENARIOS:
                say(f"{walk.title}:")
                await _walk(client, walk, fresh_id("demo"))
                say("")
    except SagaClientError as error:
        raise CommandError(f"{gateway}: {error}") from error


async def _walk(client: SagaClient, walk: Scenario, cartid: str) -> None:
    items = tuple(CartItem(itemid, count) for itemid, count in walk.items.items())
    _expect("open", (await client.create_cart(cartid)).status)
    for number, item in enumerate(items, start=1):
        cart = await client.set_item(cartid, item.itemid, item.count)
        _expect(items[:number], cart.cart_items)
    _expect("closed", (await client.close_cart(cartid)).status)
    opened = await client.checkout(cartid)
    _expect(Order(opened.orderid, "pre-approved", items), opened)
    _expect(walk.ends, (await client.wait_for_order(opened.orderid, END_SECONDS)).status)


def _expect(wanted: object, found: object) -> None:
    if found != wanted:
        raise CommandError(f"expected {wanted}, got {found}")


class Shown(httpx.AsyncHTTPTransport):
    """Shows what goes out and what comes back, but not an answer that is the same as the last one."""

    def __init__(self, say: Say) -> None:
        super().__init__()
        self._say = say
        self._last: tuple[str, str] | None = None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        response = await super().handle_async_request(request)
        answer = (await response.aread()).decode(errors="replace")
        asked = f"{request.method} {request.url.path} {request.content.decode()}".rstrip()
        if self._last != (asked, answer):
            self._say(f"  {asked}")
            self._say(f"    {response.status_code} {answer}")
        self._last = (asked, answer)
        return response
