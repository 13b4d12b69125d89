"""The suite in one process: every service wired as in production, over a real backend."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from importlib import import_module

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from contract.shop import SHOP
from contract.topology import TOPOLOGY
from rpc import delivery_pb2 as delivery_pb
from rpc import payment_pb2 as payment_pb
from rpc import purchase_pb2 as pb
from rpc import stock_pb2 as stock_pb
from rpc.delivery_pb2_grpc import DeliveryStub
from rpc.payment_pb2_grpc import PaymentStub
from rpc.purchase_pb2_grpc import PurchaseStub
from rpc.stock_pb2_grpc import StockStub
from sagactl.cli.stock import CATALOGUE, put_if_absent
from sagakit.backends import Backend, open_backend
from sagakit.ctl.cli.provision import ensure_provisioned
from sagakit.run import Process
from sagakit.runtime import Runtime
from sagakit.settings import ServiceSettings
from tests.support.audit import record_problems
from tests.support.eventually import eventually

BUILDERS = {
    service.name: import_module(f"{service.import_name}.__main__").build for service in TOPOLOGY.services
}
STUBS = {"purchase": PurchaseStub, "stock": StockStub, "payment": PaymentStub, "delivery": DeliveryStub}


NOWHERE = "127.0.0.1:1"

Between = Callable[[Backend], Backend]
"""Wraps the backend of a service."""

RuntimeOf = Callable[[str], Runtime]
"""The runtime of each service, by its name."""


def service_environ(service: str, backend_environ: Mapping[str, str]) -> dict[str, str]:
    """Return a service's environment, with its topics and short intervals."""
    return {
        "SWEEP_SECONDS": "0.5",
        "REMINDER_INTERVAL_SECONDS": "2",
        **backend_environ,
        **TOPOLOGY.environ(service),
        "PORT": "0",
    }


@asynccontextmanager
async def running_service(
    service: str,
    backend_environ: Mapping[str, str],
    between: Between = lambda backend: backend,
    port: int = 0,
    runtime_of: RuntimeOf = lambda _: Runtime(),
) -> AsyncIterator[str]:
    """Yield "host:port" once the service is SERVING; drain it afterwards."""
    environ = {**service_environ(service, backend_environ), "PORT": str(port)}
    settings = ServiceSettings.from_environ(environ)
    stop = asyncio.Event()
    runtime = runtime_of(service)
    async with open_backend(settings.backend, Runtime()) as backend:
        process = Process(service, settings, between(backend), runtime, BUILDERS[service], SHOP)
        task = asyncio.create_task(process.run(stop))
        try:
            await eventually(partial(_serving, process, task))
            yield f"127.0.0.1:{process.server.port}"
        finally:
            stop.set()
            await task


async def _serving(process: Process, task: "asyncio.Task[None]") -> bool:
    if task.done():
        task.result()
    if not process.server.port:
        return False
    async with grpc.aio.insecure_channel(f"127.0.0.1:{process.server.port}") as channel:
        answer = await health_pb2_grpc.HealthStub(channel).Check(
            health_pb2.HealthCheckRequest(), timeout=5, wait_for_ready=True
        )
    return answer.status == health_pb2.HealthCheckResponse.SERVING


class Services:
    """The services' processes; each service can be stopped and restarted."""

    def __init__(self, environ: Mapping[str, str], between: Between, runtime_of: RuntimeOf) -> None:
        self._environ = environ
        self._between = between
        self._runtime_of = runtime_of
        self._running: dict[str, AsyncExitStack] = {}
        self._ports: dict[str, list[int]] = {}

    async def start(self, service: str, replicas: int = 1) -> list[str]:
        """Start the processes; return their addresses, which a restart keeps."""
        stack = self._running[service] = AsyncExitStack()
        ports = self._ports.get(service, [0] * replicas)
        listening = [
            await stack.enter_async_context(
                running_service(service, self._environ, self._between, port, self._runtime_of)
            )
            for port in ports
        ]
        self._ports[service] = [int(address.rpartition(":")[2]) for address in listening]
        return listening

    @property
    def targets(self) -> dict[str, str]:
        """The gRPC target of each service."""
        return {
            service: "ipv4:" + ",".join(f"127.0.0.1:{port}" for port in ports)
            for service, ports in self._ports.items()
        }

    async def stop(self, *services: str) -> None:
        await asyncio.gather(*(self._running.pop(service).aclose() for service in services))

    async def stop_all(self) -> None:
        await self.stop(*self._running)


@dataclass(frozen=True, slots=True)
class Suite:
    """Stubs of the running services, and their backend."""

    purchase: PurchaseStub
    stock: StockStub
    payment: PaymentStub
    delivery: DeliveryStub
    backend: Backend
    services: Services

    async def order(self, cartid: str, **items: int) -> pb.OrderTicket:
        """Check out a new cart with the items; return the ticket."""
        await self.purchase.CreateCart(pb.CreateCartRequest(cartid=cartid))
        for itemid, count in items.items():
            await self.purchase.AddItem(
                pb.AddItemRequest(cartid=cartid, itemid=itemid, count=count, commandid=f"add-{itemid}")
            )
        await self.purchase.CloseCart(pb.CloseCartRequest(cartid=cartid))
        return (await self.purchase.Checkout(pb.CheckoutRequest(cartid=cartid))).order_ticket

    async def ticket(self, orderid: str) -> pb.OrderTicket:
        request = pb.GetOrderTicketRequest(orderid=orderid)
        return (await self.purchase.GetOrderTicket(request)).order_ticket

    async def ticket_becomes(self, orderid: str, status: str, seconds: float = 20) -> pb.OrderTicket:
        async def found() -> pb.OrderTicket | None:
            ticket = await self.ticket(orderid)
            return ticket if ticket.status == status else None

        return await eventually(found, seconds)

    async def history(self, orderid: str) -> list[str]:
        """Return the statuses of an order's history."""
        request = pb.GetOrderHistoryRequest(orderid=orderid)
        return [entry.status for entry in (await self.purchase.GetOrderHistory(request)).history]

    async def reservation(self, orderid: str) -> stock_pb.Reservation:
        request = stock_pb.GetReservationRequest(orderid=orderid)
        return (await self.stock.GetReservation(request)).reservation

    async def charge(self, orderid: str) -> payment_pb.Charge:
        return (await self.payment.GetPayment(payment_pb.GetPaymentRequest(orderid=orderid))).payment

    async def shipment(self, orderid: str) -> delivery_pb.Shipment:
        return (await self.delivery.GetDelivery(delivery_pb.GetDeliveryRequest(orderid=orderid))).delivery

    async def balances(self, seconds: float = 20) -> None:
        """Return once no order is open and the records of all services and the provider's ledger balance."""

        async def agreed() -> bool:
            nonlocal found
            found = await record_problems(self.backend.tables)
            return not found

        found: list[str] = []
        try:
            await eventually(agreed, seconds, pause=0.1)
        except AssertionError:
            raise AssertionError("\n".join(found)) from None

    async def item(self, itemid: str) -> stock_pb.Item:
        return (await self.stock.GetItem(stock_pb.GetItemRequest(itemid=itemid))).item


@asynccontextmanager
async def running_suite(
    backend_environ: Mapping[str, str],
    replicas: int = 1,
    *,
    without: Sequence[str] = (),
    between: Between = lambda backend: backend,
    operator_token: str = "",
    runtime_of: RuntimeOf = lambda _: Runtime(),
) -> AsyncIterator[Suite]:
    """Yield the suite, provisioned and seeded; gRPC calls are balanced over the replicas."""
    await ensure_provisioned(TOPOLOGY, backend_environ)
    services = Services(backend_environ, between, runtime_of)
    async with AsyncExitStack() as stack:
        settings = ServiceSettings.from_environ(service_environ("stock", backend_environ))
        backend = await stack.enter_async_context(open_backend(settings.backend, Runtime()))
        stack.push_async_callback(services.stop_all)
        running = [service for service in BUILDERS if service not in without]
        addresses = {service: await services.start(service, replicas) for service in running}
        if "stock" in addresses:
            await put_if_absent(addresses["stock"][0], CATALOGUE, operator_token)
        stubs = [
            stub(await stack.enter_async_context(_channel(addresses.get(service, [NOWHERE]))))
            for service, stub in STUBS.items()
        ]
        yield Suite(*stubs, backend, services)


def _channel(addresses: list[str]) -> grpc.aio.Channel:
    target = f"ipv4:{','.join(addresses)}"
    return grpc.aio.insecure_channel(target, options=[("grpc.lb_policy_name", "round_robin")])
