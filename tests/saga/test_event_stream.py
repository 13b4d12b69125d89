"""`GET /v1/orders/{orderid}/events` over the whole suite, on every backend."""

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

from contract.topology import EPHEMERAL_PREFIX, TOPICS
from sagactl.local.ports import free_ports
from sagakit.backends import open_provisioner
from sagakit.backends.embedded import queue
from sagakit.backends.embedded.database import Database
from sagakit.backends.gcp.provision import open_pubsub_provisioner
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
    """A gateway's process in front of the suite, and a client of it."""
    port = port or free_ports(1)[0]
    addresses = {f"{name.upper()}_ADDRESS": address for name, address in suite.services.targets.items()}
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


def words(sent: list[Sent]) -> list[str]:
    return [each.word for each in sent]


async def test_a_stream_tells_every_move_of_every_service_and_ends(suite: Suite, backend_environ):
    async with a_gateway(suite, backend_environ) as (client, _):
        ticket = await suite.order("c-1", blue=3)

        live = await follow(client, ticket.orderid)
        again = await follow(client, ticket.orderid)

    assert sorted(words(live)) == sorted(PAID)
    assert words(live)[-1] == "end"
    assert live[-1].data == {"orderid": ticket.orderid, "status": "approved"}
    assert {each.word: each.data for each in again} == {each.word: each.data for each in live}


@pytest.mark.parametrize(
    ("items", "told"),
    [
        ({"yellow": 1}, ["purchase.pre-approved", "stock.reserve-failed", "purchase.reserve-failed"]),
        (
            {"red": 1},
            [
                "purchase.pre-approved",
                "stock.paid",
                "purchase.approved",
                "delivery.delivery-arranged",
                "stock.sold",
            ],
        ),
        (
            {"gold": 1},
            [
                "purchase.pre-approved",
                "stock.reserved",
                "payment.payment-failed",
                "purchase.payment-failed",
                "stock.released",
            ],
        ),
    ],
)
async def test_every_way_an_order_can_go_is_told_to_its_end(suite: Suite, backend_environ, items, told):
    async with a_gateway(suite, backend_environ) as (client, _):
        ticket = await suite.order("c-1", **items)

        sent = words(await follow(client, ticket.orderid))

    assert sorted(sent) == sorted([*told, "end"])
    assert sent[-1] == "end"


class Browser:
    """Follows an order as an EventSource does: comes back with the last id until it is told not to."""

    def __init__(self, client: httpx.AsyncClient, orderid: str) -> None:
        self._client = client
        self._orderid = orderid
        self.sent: list[Sent] = []
        self.times_connected = 0

    async def follow(self) -> None:
        """Return once the server says that there is nothing to come back for."""
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

    def has_seen(self, word: str) -> bool:
        return word in words(self.sent)


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
async def test_a_gateway_restarted_in_the_middle_costs_no_move_and_tells_none_twice(
    suite: Suite, backend_environ, how
):
    port = free_ports(1)[0]
    await suite.services.stop("payment")
    ticket = await suite.order("c-1", blue=3)
    async with a_gateway(suite, backend_environ, port) as (client, process):
        browser = Browser(client, ticket.orderid)
        following = asyncio.create_task(browser.follow())
        await eventually(lambda: browser.has_seen("stock.reserved"), 20)
        process.send_signal(how)
        await process.wait()

        await suite.services.start("payment")
        await suite.ticket_becomes(ticket.orderid, "approved")
        async with a_gateway(suite, backend_environ, port):
            await asyncio.wait_for(following, 30)

    assert browser.times_connected > 1
    assert sorted(words(browser.sent)) == sorted(PAID)


async def test_two_gateways_tell_their_clients_the_same(suite: Suite, backend_environ):
    await suite.services.stop("payment")
    ticket = await suite.order("c-1", blue=3)
    async with a_gateway(suite, backend_environ) as (one, _), a_gateway(suite, backend_environ) as (two, _):
        browsers = [Browser(client, ticket.orderid) for client in (one, one, two)]
        following = asyncio.gather(*(browser.follow() for browser in browsers))
        await eventually(lambda: all(browser.has_seen("stock.reserved") for browser in browsers), 20)

        await suite.services.start("payment")
        await asyncio.wait_for(following, 30)

    assert [sorted(words(browser.sent)) for browser in browsers] == [sorted(PAID)] * 3


async def test_a_gateway_whose_subscriptions_are_gone_makes_others_and_catches_up(
    suite: Suite, backend_environ
):
    await suite.services.stop("payment")
    ticket = await suite.order("c-1", blue=3)
    async with (
        a_gateway(suite, backend_environ) as (client, _),
        open_provisioner(backend_environ) as provisioner,
    ):
        browser = Browser(client, ticket.orderid)
        following = asyncio.create_task(browser.follow())
        await eventually(lambda: browser.has_seen("stock.reserved"), 20)
        before = await eventually(lambda: all_made(backend_environ))
        for name in before:
            await provisioner.remove_subscription(name)

        await suite.services.start("payment")
        await asyncio.wait_for(following, 40)
        others = await eventually(lambda: all_made(backend_environ), 20)

    assert sorted(words(browser.sent)) == sorted(PAID)
    assert browser.times_connected == 1
    assert not set(before) & set(others)


async def test_a_gateway_that_stops_takes_its_subscriptions_with_it(suite: Suite, backend_environ):
    async with a_gateway(suite, backend_environ) as (_, process):
        await eventually(lambda: all_made(backend_environ))

        process.send_signal(signal.SIGTERM)

        assert await asyncio.wait_for(process.wait(), 20) == 0
        assert await broadcasts(backend_environ) == []


async def all_made(environ: Mapping[str, str]) -> list[str]:
    """The subscriptions of the only gateway, once it has one to each topic."""
    made = await broadcasts(environ)
    return made if len(made) == len(TOPICS) else []


async def broadcasts(environ: Mapping[str, str]) -> list[str]:
    """The subscriptions that gateways have made for themselves."""
    if environ["BACKEND"] == "embedded":
        database = Database(Path(environ["EMBEDDED_FILE"]))
        try:
            return await database.read(lambda db: queue.subscription_names(db, EPHEMERAL_PREFIX))
        finally:
            await database.close()
    async with open_pubsub_provisioner(
        environ["GOOGLE_CLOUD_PROJECT"], environ["PUBSUB_EMULATOR_HOST"]
    ) as made:
        return [each.name.rpartition("/")[2] async for each in made.listed(EPHEMERAL_PREFIX)]


async def test_who_asks_with_wait_is_answered_when_the_order_has_ended(suite: Suite, backend_environ):
    await suite.services.stop("payment")
    ticket = await suite.order("c-1", blue=3)
    path = f"/v1/orders/{ticket.orderid}"
    async with a_gateway(suite, backend_environ, REQUEST_TIMEOUT_SECONDS="2") as (client, _):
        began = time.monotonic()
        in_vain = await client.get(path, params={"wait": 2.5})
        waited = time.monotonic() - began
        # Longer than a request may take otherwise.
        waiting = asyncio.create_task(client.get(path, params={"wait": 30}))
        await asyncio.sleep(0)
        await suite.services.start("payment")
        answer = await waiting
        again = await client.get(path, params={"wait": 30})

    assert in_vain.json()["status"] in ("pre-approved", "reserved")
    assert waited >= 2.5
    assert answer.json()["status"] == again.json()["status"] == "approved"


async def test_a_refusal_ends_the_wait_though_nobody_publishes_that_it_was_noted(
    suite: Suite, backend_environ
):
    async with a_gateway(suite, backend_environ) as (client, _):
        ticket = await suite.order("c-1", yellow=1)

        answer = await client.get(f"/v1/orders/{ticket.orderid}", params={"wait": 20})

    assert answer.json()["status"] == "reserve-failed"


async def test_nobody_waits_for_an_order_that_is_not_there(suite: Suite, backend_environ):
    async with a_gateway(suite, backend_environ) as (client, _):
        answers = [
            await client.get("/v1/orders/no-such-order", params={"wait": wait})
            for wait in ("20", "61", "nan")
        ]

    assert [answer.status_code for answer in answers] == [404, 400, 400]
