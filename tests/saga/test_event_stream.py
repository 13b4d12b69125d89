"""Event streams and long polls over the whole suite, on every backend. Golden files hold every outcome."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from contract.topology import TOPOLOGY
from sagakit.backends import open_provisioner
from sagakit.backends.embedded import queue
from sagakit.backends.embedded.database import Database
from sagakit.backends.gcp.provision import open_pubsub_provisioner
from sagakit.ctl.local.ports import free_ports
from sagakit.fanout import EPHEMERAL_PREFIX
from tests.support.eventually import eventually
from tests.support.sse import Sent, events, follow
from tests.support.suite import Suite, running_suite

ROOT = Path(__file__).parents[2]
PAID = [
    "purchase.pre-approved",
    "stock.reserved",
    "payment.paid",
    "purchase.approved",
    "delivery.delivery-arranged",
    "stock.sold",
    "payment.settled",
    "end",
]


@asynccontextmanager
async def a_gateway(
    suite: Suite, environ: Mapping[str, str], port: int = 0, **more: str
) -> AsyncIterator[tuple[httpx.AsyncClient, asyncio.subprocess.Process]]:
    """Context manager: a client of a gateway process over the suite, and the process."""
    port = port or free_ports(1)[0]
    addresses = TOPOLOGY.address_environ(suite.services.targets)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "services.gateway"),
        env={**os.environ, **environ, **addresses, "PORT": str(port), **more},
        cwd=ROOT,
        stdout=asyncio.subprocess.DEVNULL,
    )
    base_url = f"http://127.0.0.1:{port}"
    async with httpx.AsyncClient(base_url=base_url, trust_env=False, timeout=30) as client:
        try:
            await eventually(lambda: _is_ready(client), 30)
            yield client, process
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()


async def _is_ready(client: httpx.AsyncClient) -> bool:
    try:
        return (await client.get("/readyz")).is_success
    except httpx.TransportError:
        return False


@pytest.fixture
async def suite(backend_environ: Mapping[str, str]) -> AsyncIterator[Suite]:
    async with running_suite(backend_environ) as running:
        yield running


def keys(sent: list[Sent]) -> list[str]:
    return [each.key for each in sent]


async def test_stream_sends_every_services_events_and_ends(suite: Suite, backend_environ):
    async with a_gateway(suite, backend_environ) as (client, _):
        ticket = await suite.order("c-1", blue=3)

        live = await follow(client, ticket.orderid)
        again = await follow(client, ticket.orderid)

    assert sorted(keys(live)) == sorted(PAID)
    assert keys(live)[-1] == "end"
    assert live[-1].data == {"orderid": ticket.orderid, "status": "approved"}
    assert {each.key: each.data for each in again} == {each.key: each.data for each in live}


class Browser:
    """Follows an order as an EventSource does: reconnects with the last id until it gets 204."""

    def __init__(self, client: httpx.AsyncClient, orderid: str) -> None:
        self._client = client
        self._orderid = orderid
        self.sent: list[Sent] = []
        self.times_connected = 0

    async def follow(self) -> None:
        """Return once the server answers 204."""
        while True:
            seen = {"Last-Event-ID": self.sent[-1].id} if self.sent else {}
            try:
                async with self._client.stream(
                    "GET", f"/v1/orders/{self._orderid}/events", headers=seen
                ) as answer:
                    if answer.status_code == 204:
                        return
                    assert answer.status_code == 200
                    self.times_connected += 1
                    async for each in events(answer):
                        self.sent.append(each)
            except httpx.TransportError:
                await asyncio.sleep(0.05)

    def has_seen(self, key: str) -> bool:
        return key in keys(self.sent)


@pytest.mark.parametrize("stop_signal", [signal.SIGTERM, signal.SIGKILL])
async def test_restarted_gateway_loses_and_repeats_no_event(suite: Suite, backend_environ, stop_signal):
    port = free_ports(1)[0]
    await suite.services.stop("payment")
    ticket = await suite.order("c-1", blue=3)
    async with a_gateway(suite, backend_environ, port) as (client, process):
        browser = Browser(client, ticket.orderid)
        following = asyncio.create_task(browser.follow())
        await eventually(lambda: browser.has_seen("stock.reserved"), 20)
        process.send_signal(stop_signal)
        await process.wait()

        await suite.services.start("payment")
        await suite.ticket_becomes(ticket.orderid, "approved")
        async with a_gateway(suite, backend_environ, port):
            await asyncio.wait_for(following, 30)

    assert browser.times_connected > 1
    assert sorted(keys(browser.sent)) == sorted(PAID)


async def test_all_gateways_send_the_same_events(suite: Suite, backend_environ):
    await suite.services.stop("payment")
    ticket = await suite.order("c-1", blue=3)
    async with a_gateway(suite, backend_environ) as (one, _), a_gateway(suite, backend_environ) as (two, _):
        browsers = [Browser(client, ticket.orderid) for client in (one, one, two)]
        following = asyncio.gather(*(browser.follow() for browser in browsers))
        await eventually(lambda: all(browser.has_seen("stock.reserved") for browser in browsers), 20)

        await suite.services.start("payment")
        await asyncio.wait_for(following, 30)

    assert [sorted(keys(browser.sent)) for browser in browsers] == [sorted(PAID)] * 3


async def test_gateway_recreates_deleted_subscriptions_and_catches_up(suite: Suite, backend_environ):
    await suite.services.stop("payment")
    ticket = await suite.order("c-1", blue=3)
    async with (
        a_gateway(suite, backend_environ) as (client, _),
        open_provisioner(backend_environ) as provisioner,
    ):
        browser = Browser(client, ticket.orderid)
        following = asyncio.create_task(browser.follow())
        await eventually(lambda: browser.has_seen("stock.reserved"), 20)
        before = await eventually(lambda: all_subscriptions(backend_environ))
        for name in before:
            await provisioner.remove_subscription(name)

        await suite.services.start("payment")
        await asyncio.wait_for(following, 40)
        others = await eventually(lambda: all_subscriptions(backend_environ), 20)

    assert sorted(keys(browser.sent)) == sorted(PAID)
    assert browser.times_connected == 1
    assert not set(before) & set(others)


async def test_gateway_has_subscriptions_while_orders_are_followed(suite: Suite, backend_environ):
    await suite.services.stop("payment")
    ticket = await suite.order("c-1", blue=3)
    async with a_gateway(suite, backend_environ) as (client, process):
        assert await subscriptions(backend_environ) == []
        following = asyncio.create_task(Browser(client, ticket.orderid).follow())
        await eventually(lambda: all_subscriptions(backend_environ))
        following.cancel()

        process.send_signal(signal.SIGTERM)

        assert await asyncio.wait_for(process.wait(), 20) == 0
        assert await subscriptions(backend_environ) == []


async def all_subscriptions(environ: Mapping[str, str]) -> list[str]:
    """The only gateway's subscriptions, once it has one for each topic."""
    found = await subscriptions(environ)
    return found if len(found) == len(TOPOLOGY.topics) else []


async def subscriptions(environ: Mapping[str, str]) -> list[str]:
    """All ephemeral subscriptions."""
    if environ["BACKEND"] == "embedded":
        database = Database(Path(environ["EMBEDDED_FILE"]))
        try:
            return await database.read(lambda db: queue.subscription_names(db, EPHEMERAL_PREFIX))
        finally:
            await database.close()
    async with open_pubsub_provisioner(
        environ["GOOGLE_CLOUD_PROJECT"], environ["PUBSUB_EMULATOR_HOST"]
    ) as provisioner:
        return [each.name.rpartition("/")[2] async for each in provisioner.listed(EPHEMERAL_PREFIX)]


async def test_long_poll_is_answered_once_the_order_is_terminal(suite: Suite, backend_environ):
    await suite.services.stop("payment")
    ticket = await suite.order("c-1", blue=3)
    path = f"/v1/orders/{ticket.orderid}"
    async with a_gateway(suite, backend_environ, REQUEST_TIMEOUT_SECONDS="2") as (client, _):
        began = time.monotonic()
        timed_out = await client.get(path, params={"wait": 2.5})
        waited = time.monotonic() - began
        # Longer than the timeout of other requests.
        waiting = asyncio.create_task(client.get(path, params={"wait": 30}))
        await asyncio.sleep(0)
        await suite.services.start("payment")
        answer = await waiting
        again = await client.get(path, params={"wait": 30})

    assert timed_out.json()["status"] in ("pre-approved", "reserved")
    assert waited >= 2.5
    assert answer.json()["status"] == again.json()["status"] == "approved"


async def test_long_poll_ends_when_stock_is_missing(suite: Suite, backend_environ):
    async with a_gateway(suite, backend_environ) as (client, _):
        ticket = await suite.order("c-1", yellow=1)

        answer = await client.get(f"/v1/orders/{ticket.orderid}", params={"wait": 20})

    assert answer.json()["status"] == "reserve-failed"


async def test_long_poll_of_an_unknown_order_is_not_found_at_once(suite: Suite, backend_environ):
    async with a_gateway(suite, backend_environ) as (client, _):
        answer = await client.get("/v1/orders/no-such-order", params={"wait": 20})

    assert answer.status_code == 404
