"""The load generator's ledger, on virtual time: what it finds, and that it stays bounded."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from sagaclient import RetryPolicy, SagaClient
from sagactl.cli.load import load, network, run_load
from sagactl.load import CountedRetries, Ledger, Limits, Load, only
from sagakit.ctl.errors import CommandError
from sagakit.testing.loop import run as on_virtual_time

RATE = 200.0
LIMITS = Limits(in_flight=5, compared=3, read_interval_seconds=0.02, drain_seconds=0.5)


class Shop(httpx.AsyncBaseTransport):
    """A gateway whose orders end at once, as their items demand; `fault` names one promise that it breaks."""

    def __init__(self, fault: str = "") -> None:
        self._fault = fault
        self.carts: dict[str, dict[str, int]] = {}
        self.orders: dict[str, dict[str, int]] = {}
        self.canceled: set[str] = set()
        self.requests = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.requests += 1
        if self._fault == "away":
            raise httpx.ConnectError("connection refused")
        if self._fault == "hiccups" and self.requests % 10 == 5:
            raise httpx.ReadError("connection reset")
        if self._fault == "hangs" and request.url.path.endswith(":checkout"):
            await asyncio.Event().wait()
        _, kind, resource, *rest = request.url.path.lstrip("/").split("/")
        name, _, action = resource.partition(":")
        if kind == "orders":
            return self._order(name, action)
        items = self.carts.setdefault(name, {}) if request.method != "GET" else None
        if items is None:
            return httpx.Response(404, json={"reason": "unknown-cart"})
        if rest:
            items[rest[1]] = json.loads(request.content)["count"]
        if action == "checkout":
            orderid = f"order-{self.requests}" if self._fault == "doubles" else f"order-{name}"
            self.orders[orderid] = items
            return httpx.Response(202, json=self._json(orderid, items, "pre-approved"))
        return httpx.Response(200, json={"cartid": name, "status": "open", "cart_items": []})

    def _order(self, orderid: str, action: str) -> httpx.Response:
        items = self.orders[orderid]
        if action == "cancel":
            self.canceled.add(orderid)
        if self._fault == "loses" and not action:
            return httpx.Response(404, json={"reason": "unknown-order"})
        status = "canceled" if orderid in self.canceled else "approved"
        if {"yellow", "gold"} & items.keys() and status == "approved":
            status = "approved" if self._fault == "gives away" else "payment-failed"
        if self._fault == "forgets cancellations":
            status = "approved"
        if self._fault == "never ends":
            status = "reserved"
        return httpx.Response(200, json=self._json(orderid, items, status))

    def _json(self, orderid: str, items: dict[str, int], status: str) -> dict[str, object]:
        listed = [{"itemid": name, "count": count} for name, count in items.items()]
        return {
            "orderid": orderid,
            "status": status,
            "cart_items": listed[1:] if self._fault == "drops" else listed,
        }

    def client(self) -> SagaClient:
        return SagaClient("http://shop", transport=self, retries=RetryPolicy(max_attempts=1))


def run(client: SagaClient, **options: Any) -> bool:
    """Run a load of 0.7 s."""

    async def main() -> bool:
        async with client:
            return await run_load(Load(client, LIMITS, **options), RATE, seconds=0.7, interval=0.2)

    return on_virtual_time(main)


@asynccontextmanager
async def placed(shop: Shop) -> AsyncIterator[Load]:
    """Load of 0.5 s, some of whose orders may be open."""
    async with shop.client() as client:
        placed = Load(client, LIMITS)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(placed.place(RATE), 0.5)
        yield placed


def test_ledger_of_a_shop_that_keeps_its_promises_balances(capsys: pytest.CaptureFixture[str]):
    assert run(Shop().client())

    *printed, last, result = capsys.readouterr().out.splitlines()
    assert len(printed) == 3
    assert all(status in last for status in ("approved", "canceled", "payment-failed"))
    assert "open 0, lost 0; not accepted 0, skipped 0, retried 0" in last
    assert result.startswith("nothing is lost")


@pytest.mark.parametrize(
    ("fault", "printed"),
    [
        ("loses", "is lost"),
        ("drops", "has other items than its cart"),
        ("gives away", "is approved, which it must not be"),
        ("forgets cancellations", "is approved, which it must not be"),
        ("never ends", r"open [1-9]"),
        ("doubles", "a repeated call was answered"),
    ],
)
def test_broken_promise_is_found(fault: str, printed: str, capsys: pytest.CaptureFixture[str]):
    assert not run(Shop(fault).client())

    assert re.search(printed, capsys.readouterr().out)


def test_gateway_that_does_not_answer_is_an_error():
    with pytest.raises(CommandError, match="no response"):
        run(Shop("away").client())


def test_orders_in_flight_are_bounded_and_further_ones_are_skipped():
    async def main() -> Ledger:
        async with placed(Shop("hangs")) as running:
            await running.aclose()
        return running.ledger

    ledger = on_virtual_time(main)

    assert ledger.accepted == 0
    assert ledger.skipped > 5


def test_ended_orders_are_counted_and_only_the_latest_are_kept():
    async def main() -> tuple[Ledger, int]:
        async with placed(Shop()) as running:
            await running.drain()
            return running.ledger, await running.compare()

    ledger, compared = on_virtual_time(main)

    assert compared == len(ledger.recent) == 3
    assert ledger.ended.total() == ledger.accepted > 3
    assert ledger.open == {}


def test_only_the_given_item_is_ordered():
    shop = Shop()

    run(shop.client(), cases=only("red"))

    assert len(shop.orders) > 3
    assert all(items == {"red": 1} for items in shop.orders.values())


def test_retries_are_counted_and_printed(capsys: pytest.CaptureFixture[str]):
    """Known fault: a game day on a cluster could not see that requests had failed."""
    retries = CountedRetries(initial_backoff=0.001)

    assert run(SagaClient("http://shop", transport=Shop("hiccups"), retries=retries), retried=retries.counts)

    last = capsys.readouterr().out.splitlines()[-2]
    (count,) = re.findall(r"not accepted 0, skipped \d+, retried \d+ \(TransportError (\d+)\)", last)
    assert int(count) == retries.counts.total() > 3


@pytest.mark.parametrize("given", [(), ("--in-flight", "200", "--drain", "7.5")])
def test_limits_of_a_run_are_options(given: tuple[str, ...]):
    params = load.make_context("load", [*given]).params

    assert (params["in_flight"], params["drain"]) == ((200, 7.5) if given else (50, 60.0))


async def test_orders_in_flight_have_a_connection_each():
    connected: set[asyncio.StreamWriter] = set()
    everyone = asyncio.Event()

    async def hang(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connected.add(writer)
        if len(connected) == 120:
            everyone.set()
        await everyone.wait()
        writer.close()

    server = await asyncio.start_server(hang, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    async with server, SagaClient(f"http://{host}:{port}", transport=network(120)) as client:
        calls = [asyncio.create_task(client.get_cart("a")) for _ in range(120)]
        async with asyncio.timeout(10):
            await everyone.wait()
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
