"""Measure what orders cost the gateway while it streams other ones to their followers."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from bench.http import Connection
from bench.orders import closed_cart
from bench.run import BLUE, BenchRun
from bench.suite import RunningSuite
from services.payment.simulated import FaultSettings, save_faults

FOLLOWERS = (0, 1, 100, 1_000)
CLIENTS = 16
FOLLOW_SECONDS = 60.0
"""Within which each follower gets its order's history, and later its end."""
QUIET_SECONDS = 45.0
"""Until feeds whose orders do not change read their records at the longest intervals."""
UNLIMITED = {"MAX_STREAMS_PER_CLIENT": str(max(FOLLOWERS)), "REMINDER_INTERVAL_SECONDS": "600"}
"""One client has all streams; and no reminders are sent while orders wait for the payment provider."""


async def followers(run: BenchRun) -> None:
    """Measure red orders beside followers of orders that wait for payment; then let those orders end."""
    async with run.suite(**UNLIMITED) as suite:
        for count in FOLLOWERS:
            await _provider(suite, FaultSettings(unavailable=True))
            orderids = await _orders(suite, count)
            async with _following(suite, orderids) as ends:
                await asyncio.sleep(QUIET_SECONDS if count else 0)
                name = f"red, {CLIENTS} clients, {count} followers"
                await run.throughput(suite, name, CLIENTS)
                before = (await suite.usage()).processes["gateway"].cpu_seconds
                await _provider(suite, FaultSettings())
                async with asyncio.timeout(FOLLOW_SECONDS):
                    await asyncio.gather(*ends)
                used = (await suite.usage()).processes["gateway"].cpu_seconds - before
            if count:
                run.results[name]["gateway_ms_of_a_followed_order"] = round(1000 * used / count, 1)
            await suite.audited()


async def _provider(suite: RunningSuite, faults: FaultSettings) -> None:
    async with suite.tables() as tables:
        await save_faults(tables, faults)


async def _orders(suite: RunningSuite, count: int) -> list[str]:
    """Place blue orders."""
    waiting, orderids = iter(range(count)), list[str]()

    async def order() -> None:
        connection = Connection(suite.gateway)
        for _ in waiting:
            cartid = await closed_cart(connection, BLUE)
            answer = await connection.call("/purchase/api/checkout", cartid=cartid)
            orderids.append(answer["order_ticket"]["orderid"])
        connection.close()

    await asyncio.gather(*(order() for _ in range(CLIENTS)))
    return orderids


@asynccontextmanager
async def _following(
    suite: RunningSuite, orderids: Sequence[str]
) -> AsyncIterator[Sequence["asyncio.Task[None]"]]:
    """Follow the orders. Yields the tasks that return at the end of their streams."""
    ends: list[asyncio.Task[None]] = []
    try:
        async with asyncio.timeout(FOLLOW_SECONDS):
            for start in range(0, len(orderids), CLIENTS):
                some = orderids[start : start + CLIENTS]
                streams = [_Stream() for _ in some]
                ends += [
                    asyncio.create_task(stream.follow(suite.gateway, orderid))
                    for stream, orderid in zip(streams, some, strict=True)
                ]
                await asyncio.gather(*(stream.began for stream in streams))
        yield ends
    finally:
        for task in ends:
            task.cancel()
        await asyncio.gather(*ends, return_exceptions=True)


class _Stream:
    """An order's stream of events."""

    def __init__(self) -> None:
        self.began: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done at the first event."""

    async def follow(self, gateway: str, orderid: str) -> None:
        """Return at the stream's end. Raises ConnectionError if there is no stream, or if it breaks off."""
        try:
            await self._read(gateway.removeprefix("http://"), orderid)
        except BaseException as error:
            if not self.began.done():
                self.began.set_exception(error)
            raise

    async def _read(self, host: str, orderid: str) -> None:
        reader, writer = await asyncio.open_connection(*host.split(":"))
        try:
            writer.write(f"GET /v1/orders/{orderid}/events HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
            status = await reader.readline()
            async for line in reader:
                if line.startswith(b"event: end"):
                    return
                if line.startswith(b"event: ") and not self.began.done():
                    self.began.set_result(None)
            raise ConnectionError(f"the stream ended before the order: {status.decode()}")
        finally:
            writer.close()
