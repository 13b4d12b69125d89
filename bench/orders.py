"""Orders through the gateway: one at a time, and as many as so many clients can do."""

import asyncio
import time
import uuid

import httpx

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


async def throughput(client: httpx.AsyncClient, clients: int, orders: int) -> tuple[float, list[float]]:
    """Red orders a second from checkout to approved, carts prepared, and each saga's milliseconds."""
    carts = asyncio.Queue[str]()
    gate = asyncio.Semaphore(clients)

    async def prepare() -> None:
        async with gate:
            carts.put_nowait(await prepared_cart(client, "red"))

    await asyncio.gather(*(prepare() for _ in range(orders)))
    latencies: list[float] = []

    async def shop() -> None:
        while not carts.empty():
            cartid, began = carts.get_nowait(), time.perf_counter()
            ticket = (await post(client, "checkout", cartid=cartid))["order_ticket"]
            await approved(client, ticket["orderid"], 0.05)
            latencies.append((time.perf_counter() - began) * 1000)

    started = time.perf_counter()
    await asyncio.gather(*(shop() for _ in range(clients)))
    return orders / (time.perf_counter() - started), latencies
