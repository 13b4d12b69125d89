"""The load generator's ledger: what it finds, and that it stays bounded."""

import asyncio
import json
import re

import httpx
import pytest

from sagaclient import RetryPolicy, SagaClient
from sagactl.cli.load import run_load
from sagactl.load import Limits, Load
from sagakit.ctl.errors import CommandError

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


async def run(shop: Shop) -> bool:
    async with shop.client() as client:
        return await run_load(client, RATE, seconds=0.7, interval=0.2, limits=LIMITS)


async def test_ledger_of_a_shop_that_keeps_its_promises_balances(capsys: pytest.CaptureFixture[str]):
    assert await run(Shop())

    *printed, last, result = capsys.readouterr().out.splitlines()
    assert len(printed) >= 2
    assert all(status in last for status in ("approved", "canceled", "payment-failed"))
    assert "open 0, lost 0; not accepted 0, skipped 0" in last
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
async def test_broken_promise_is_found(fault: str, printed: str, capsys: pytest.CaptureFixture[str]):
    assert not await run(Shop(fault))

    assert re.search(printed, capsys.readouterr().out)


async def test_gateway_that_does_not_answer_is_an_error():
    with pytest.raises(CommandError, match="no response"):
        await run(Shop("away"))


async def test_orders_in_flight_are_bounded_and_further_ones_are_skipped():
    async with Shop("hangs").client() as client:
        running = Load(client, LIMITS)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(running.place(RATE), 0.5)

        await running.aclose()

    assert running.ledger.accepted == 0
    assert running.ledger.skipped > 5


async def test_ended_orders_are_counted_and_only_the_latest_are_kept():
    async with Shop().client() as client:
        running = Load(client, LIMITS)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(running.place(RATE), 0.5)
        await running.drain()

        assert await running.compare() == len(running.ledger.recent) == 3

    assert running.ledger.ended.total() == running.ledger.accepted > 3
    assert running.ledger.open == {}
