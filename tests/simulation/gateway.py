"""The gateway in the simulation: its application, over calls of simulated processes instead of channels."""

import asyncio
import contextvars
from collections.abc import AsyncIterator, Callable, Mapping, MutableMapping, Sequence
from functools import cache
from typing import Any, cast

import grpc
import httpx
import structlog
from fastapi import FastAPI
from grpc.aio import AioRpcError, Metadata
from grpc_status import rpc_status

from contract.shop import SHOP
from sagakit.backends import Broker
from sagakit.errors import SagaError
from sagakit.grpc.errors import status_of
from sagakit.runtime import Runtime
from sagakit.testing.backends import FaultyBus
from sagakit.testing.edges import CALL_TIMEOUT_SECONDS
from sagakit.testing.loop import Group, owner
from sagakit.testing.process import Died
from sagakit.testing.world import World
from services.gateway.__main__ import receiving
from services.gateway.app import Lifecycle, create_app
from services.gateway.clients import Clients
from services.gateway.order_feed.feed import OrderFeeds
from services.gateway.order_feed.live import LiveOrders
from services.gateway.order_feed.snapshot import SnapshotReader
from services.gateway.settings import StreamLimits

log = structlog.get_logger()

ATTEMPTS = 5
"""As the service config of real channels has it."""


class SimulatedChannel:
    """The part of a `grpc.aio.Channel` that the gateway uses: calls of a service's replicas."""

    def __init__(self, world: World, service: str) -> None:
        self._world = world
        self._replicas = [process for process in world.processes if process.service == service]

    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:
        return grpc.ChannelConnectivity.READY

    async def close(self, grace: float | None = None) -> None: ...

    def unary_unary(self, path: str, *_: Any, **__: Any) -> Callable[..., Any]:
        async def invoke(request: Any, *, timeout: float, **_: Any) -> Any:
            try:
                return await asyncio.wait_for(self._call(path.rpartition("/")[2], request), timeout)
            except TimeoutError:
                code = grpc.StatusCode.DEADLINE_EXCEEDED
                raise AioRpcError(code, Metadata(), Metadata(), "no response in time") from None

        return invoke

    async def _call(self, method: str, request: Any) -> Any:
        random = self._world.random
        for _ in range(ATTEMPTS):
            # Keepalive finds connections to replicas that are lost for good.
            connected = [each for each in self._replicas if not each.is_lost]
            try:
                return await random.choice(connected).call(method, request)
            except Died:
                failed = AioRpcError(grpc.StatusCode.UNAVAILABLE, Metadata(), Metadata(), "connection lost")
            except SagaError as error:
                failed = _rpc_error(error)
            if failed.code() is not grpc.StatusCode.UNAVAILABLE:
                break
            await asyncio.sleep(random.uniform(0, 0.5))
        raise failed


def _rpc_error(error: SagaError) -> AioRpcError:
    status = rpc_status.to_status(status_of(error, SHOP.error_domain))
    return AioRpcError(status.code, Metadata(), Metadata(*status.trailing_metadata), status.details)


@cache
def _app(_: int) -> FastAPI:
    """Return the application of a replica. Building it takes too long for every restart: see `start`."""
    return create_app(Clients({}, CALL_TIMEOUT_SECONDS), Lifecycle())


class SimulatedGateway:
    """One replica of the gateway."""

    def __init__(self, world: World, replica: int) -> None:
        self.name = f"gateway {replica}"
        self._world = world
        self._app = _app(replica)
        self._group: Group | None = None

    def start(self) -> None:
        """Start as `services.gateway` does, with new feeds."""
        world, loop = self._world, asyncio.get_running_loop()
        self._group = Group()
        self._context = contextvars.copy_context()
        self._context.run(owner.set, self._group)
        runtime = Runtime(world.now, loop.time, asyncio.sleep, world.random, world.new_id)
        connect = cast("Callable[[str], grpc.aio.Channel]", lambda name: SimulatedChannel(world, name))
        clients = Clients({}, CALL_TIMEOUT_SECONDS, connect=connect)
        self._feeds = OrderFeeds(SnapshotReader(clients).read, runtime)
        self._app.state.clients = clients
        self._app.state.live_orders = LiveOrders(clients, self._feeds, StreamLimits())
        self._ready = asyncio.Event()
        self._context.run(asyncio.create_task, self._run(clients, runtime))

    async def _run(self, clients: Clients, runtime: Runtime) -> None:
        bus = FaultyBus(self._world, self.name)
        try:
            async with clients, receiving(Broker(bus, bus), self._feeds, runtime):
                self._ready.set()
                await asyncio.Event().wait()
        finally:
            bus.die()

    async def restart(self, *, drains: bool) -> None:
        """End all tasks, and start again a moment later; `drains`: followers are disconnected first."""
        if self._group is None:
            return
        self._world.tell(self.name, "drains" if drains else "dies")
        if drains:
            self._feeds.close()
            await asyncio.sleep(1)
        group, self._group = self._group, None
        for task in list(group.tasks):
            task.cancel()
        await asyncio.sleep(self._world.random.uniform(0, 2))
        self.start()

    def begin(self, request: httpx.Request, body: bytes) -> "Exchange":
        """Begin to handle a request. Raises ConnectError if the gateway does not listen."""
        if self._group is None or not self._ready.is_set():
            raise httpx.ConnectError("the gateway does not listen")
        exchange = Exchange(body, float(request.extensions["timeout"]["read"]))
        handling = self._app(_scope(request), exchange.receive, exchange.send)
        task = self._context.run(asyncio.create_task, handling)
        task.add_done_callback(exchange.ended)
        return exchange


class Exchange(httpx.AsyncByteStream):
    """One request and its response: ASGI on the gateway's side, the body of a response on the client's."""

    def __init__(self, body: bytes, read_seconds: float) -> None:
        self._requests = [{"type": "http.request", "body": body, "more_body": False}]
        self._read_seconds = read_seconds
        self._hung_up = asyncio.Event()
        self._sent: asyncio.Queue[Mapping[str, Any]] = asyncio.Queue()

    async def receive(self) -> Mapping[str, Any]:
        if self._requests:
            return self._requests.pop()
        await self._hung_up.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: MutableMapping[str, Any]) -> None:
        self._sent.put_nowait(message)

    def ended(self, task: "asyncio.Task[None]") -> None:
        """Note that nothing more follows: the gateway has finished, failed or died."""
        error = None if task.cancelled() else task.exception()
        if error is not None:
            log.error("the gateway's application failed", exc_info=error)
        self._sent.put_nowait({"type": "lost"})

    async def next(self) -> Mapping[str, Any]:
        """Return what the gateway sends next. Raises ReadTimeout or ReadError."""
        try:
            message = await asyncio.wait_for(self._sent.get(), self._read_seconds)
        except TimeoutError:
            raise httpx.ReadTimeout("nothing was sent in time") from None
        if message["type"] == "lost":
            raise httpx.ReadError("the connection was lost")
        return message

    async def __aiter__(self) -> AsyncIterator[bytes]:
        more = True
        while more:
            message = await self.next()
            more = message.get("more_body", False)
            yield message.get("body", b"")

    async def aclose(self) -> None:
        self._hung_up.set()


class GatewayTransport(httpx.AsyncBaseTransport):
    """Carries requests to simulated gateways: the port of a URL is a replica's number plus one."""

    def __init__(self, gateways: Sequence[SimulatedGateway]) -> None:
        self._gateways = gateways
        self.urls = [f"http://127.0.0.1:{number + 1}" for number, _ in enumerate(gateways)]

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        exchange = self._gateways[cast("int", request.url.port) - 1].begin(request, await request.aread())
        try:
            start = await exchange.next()
        except BaseException:
            await exchange.aclose()
            raise
        return httpx.Response(start["status"], headers=start["headers"], stream=exchange)


def _scope(request: httpx.Request) -> dict[str, Any]:
    path, _, query = request.url.raw_path.partition(b"?")
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": request.method,
        "scheme": "http",
        "path": request.url.path,
        "raw_path": path,
        "root_path": "",
        "query_string": query,
        "headers": [(name.lower(), value) for name, value in request.headers.raw],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", request.url.port),
    }
