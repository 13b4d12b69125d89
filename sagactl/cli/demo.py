"""`sagactl demo`: four orders through the gateway, with all requests and responses."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import click
import httpx

from contract.shop import SHOP
from sagaclient import CartItem, Order, RetryPolicy, SagaClient, SagaClientError
from sagactl.cli.curl_examples import unique_id
from sagakit.ctl.cli import options
from sagakit.ctl.errors import CommandError
from sagakit.ctl.local.dev_tokens import tool_token
from sagakit.ctl.text import echo

ORDER_TIMEOUT_SECONDS = 20.0

Print = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Scenario:
    """The items of an order, and its expected final status."""

    title: str
    items: Mapping[str, int]
    final_status: str


SCENARIOS = (
    Scenario("Blue alone is paid", {"blue": 3}, "approved"),
    Scenario("Blue and red; red waives payment", {"blue": 3, "red": 2}, "approved"),
    Scenario("Yellow is sold out", {"yellow": 1}, "reserve-failed"),
    Scenario("Gold exceeds the payment limit", {"gold": 1}, "payment-failed"),
)


@click.command()
@click.option("--gateway", metavar="URL", help="URL of the gateway; default: that of the local suite.")
@options.run_dir
def demo(gateway: str | None, run_dir: Path) -> None:
    """Run four orders, two approved and two failed, printing every request and response."""
    if gateway:
        options.announce(gateway)
    url = gateway or options.local_suite(run_dir).gateway
    asyncio.run(run_scenarios(url, echo, tool_token(run_dir, SHOP)))
    echo("All scenarios ended as expected.", colour="green")


async def run_scenarios(gateway: str, print_: Print, token: str = "") -> None:
    """Return once all scenarios have ended as expected. Raises CommandError on another response."""
    credentials = (lambda: token) if token else None
    transport, once = LoggingTransport(print_), RetryPolicy(max_attempts=1)
    try:
        async with SagaClient(gateway, token=credentials, transport=transport, retries=once) as client:
            for scenario in SCENARIOS:
                print_(f"{scenario.title}:")
                await _run(client, scenario, unique_id("demo"))
                print_("")
    except SagaClientError as error:
        raise CommandError(f"{gateway}: {error}") from error


async def _run(client: SagaClient, scenario: Scenario, cartid: str) -> None:
    items = tuple(CartItem(itemid, count) for itemid, count in scenario.items.items())
    _expect("open", (await client.create_cart(cartid)).status)
    for number, item in enumerate(items, start=1):
        cart = await client.set_item(cartid, item.itemid, item.count)
        _expect(items[:number], cart.cart_items)
    _expect("closed", (await client.close_cart(cartid)).status)
    opened = await client.checkout(cartid)
    _expect(Order(opened.orderid, "pre-approved", items), opened)
    final = await client.wait_for_order(opened.orderid, ORDER_TIMEOUT_SECONDS)
    _expect(scenario.final_status, final.status)


def _expect(expected: object, found: object) -> None:
    if found != expected:
        raise CommandError(f"expected {expected}, got {found}")


class LoggingTransport(httpx.AsyncHTTPTransport):
    """Prints requests and responses, except a repetition of the last ones."""

    def __init__(self, print_: Print) -> None:
        super().__init__()
        self._print = print_
        self._last: tuple[str, str] | None = None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        response = await super().handle_async_request(request)
        body = (await response.aread()).decode(errors="replace")
        sent = f"{request.method} {request.url.path} {request.content.decode()}".rstrip()
        if self._last != (sent, body):
            self._print(f"  {sent}")
            self._print(f"    {response.status_code} {body}")
        self._last = (sent, body)
        return response
