"""Orders through the gateway: one at a time, and as many as so many clients can do."""

import asyncio
import json
import os
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
from google.cloud import pubsub_v1

from contract.topology import TOPICS

SAGA_SECONDS = 120.0


async def post(client: httpx.AsyncClient, path: str, **body: object) -> dict:
    answer = await client.post(f"/purchase/api/{path}", json=body)
    answer.raise_for_status()
    return answer.json()


async def prepared_cart(client: httpx.AsyncClient, itemid: str) -> str:
    """A closed cart with one piece in it."""
    cartid = str(uuid.uuid4())
    await post(client, "create_cart", cartid=cartid)
    await post(client, "add_item", cartid=cartid, itemid=itemid, count=1)
    await post(client, "close_cart", cartid=cartid)
    return cartid


async def approved(client: httpx.AsyncClient, orderid: str, pause: float) -> None:
    async with asyncio.timeout(SAGA_SECONDS):
        while True:
            ticket = (await post(client, "get_order_ticket", orderid=orderid))["order_ticket"]
            if ticket["status"] == "approved":
                return
            await asyncio.sleep(pause)


async def idle_sagas(client: httpx.AsyncClient, orders: int) -> tuple[list[float], list[float]]:
    """Milliseconds of each checkout, and from checkout to approved, one red order at a time."""
    checkouts, sagas = [], []
    for _ in range(orders):
        cartid = await prepared_cart(client, "red")
        started = time.perf_counter()
        ticket = (await post(client, "checkout", cartid=cartid))["order_ticket"]
        checkouts.append((time.perf_counter() - started) * 1000)
        await approved(client, ticket["orderid"], 0.002)
        sagas.append((time.perf_counter() - started) * 1000)
    return checkouts, sagas


async def throughput(
    client: httpx.AsyncClient, endings: "Endings", clients: int, orders: int
) -> tuple[float, list[float]]:
    """Red orders a second from checkout to approved, carts prepared, and each saga's milliseconds.

    The end is seen on the topic, which takes one more hop than the saga itself.
    """
    gate = asyncio.Semaphore(clients)
    carts: list[str] = []

    async def prepare() -> None:
        async with gate:
            carts.append(await prepared_cart(client, "red"))

    async def shop() -> float:
        async with gate:
            began = time.perf_counter()
            ticket = (await post(client, "checkout", cartid=carts.pop()))["order_ticket"]
            return await endings.of(ticket["orderid"]) - began

    await asyncio.gather(*(prepare() for _ in range(orders)))
    started = time.perf_counter()
    latencies = await asyncio.gather(*(shop() for _ in range(orders)))
    return orders / (time.perf_counter() - started), [seconds * 1000 for seconds in latencies]


class Endings:
    """When each order was announced as approved, as a subscriber of the topic sees it."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._times: dict[str, asyncio.Future[float]] = {}

    async def of(self, orderid: str) -> float:
        async with asyncio.timeout(SAGA_SECONDS):
            return await self._time(orderid)

    @asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        subscriber = pubsub_v1.SubscriberClient()
        project = os.environ["GOOGLE_CLOUD_PROJECT"]
        name = subscriber.subscription_path(project, f"bench.{uuid.uuid4().hex[:8]}")
        topic = f"projects/{project}/topics/{TOPICS['purchase']}"
        await asyncio.to_thread(subscriber.create_subscription, name=name, topic=topic)
        pull = subscriber.subscribe(name, self._receive)
        try:
            yield
        finally:
            pull.cancel()
            await asyncio.to_thread(pull.result)

    def _receive(self, message: pubsub_v1.subscriber.message.Message) -> None:
        ticket = json.loads(message.data)
        if ticket["status"] == "approved":
            self._loop.call_soon_threadsafe(self._note, ticket["orderid"], time.perf_counter())
        message.ack()

    def _note(self, orderid: str, when: float) -> None:
        future = self._time(orderid)
        if not future.done():
            future.set_result(when)

    def _time(self, orderid: str) -> "asyncio.Future[float]":
        return self._times.setdefault(orderid, self._loop.create_future())
