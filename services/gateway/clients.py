"""gRPC clients of the services: balanced, with deadlines, reconnecting quickly after a restart."""

import asyncio
from collections.abc import Callable, Collection, Mapping
from contextlib import AsyncExitStack
from functools import partial
from importlib import import_module
from types import TracebackType
from typing import Self, TypeVar, cast

import grpc
from google.protobuf.descriptor import ServiceDescriptor
from opentelemetry.trace import Tracer

from contract.calls import channel_options
from contract.shop import message_attributes
from contract.topology import TOPOLOGY
from rpc.delivery_pb2_grpc import DeliveryStub
from rpc.payment_pb2_grpc import PaymentStub
from rpc.purchase_pb2_grpc import PurchaseStub
from rpc.stock_pb2_grpc import StockStub
from sagakit.grpc.tracing import TracingClientInterceptor
from sagakit.topology import ServiceDeclaration
from services.gateway.channels import ServiceChannel

Stub = TypeVar("Stub")


def _descriptor(service: ServiceDeclaration) -> ServiceDescriptor:
    """Return the first gRPC service that is declared, from the code generated from `proto/PACKAGE.proto`."""
    file = import_module(f"rpc.{service.package}_pb2").DESCRIPTOR
    found: ServiceDescriptor = file.services_by_name[service.grpc_services[0].rpartition(".")[2]]
    return found


SERVICES = {service.name: _descriptor(service) for service in TOPOLOGY.services if service.grpc_services}
"""The services that the gateway can call."""
NEEDED = ("purchase", "stock")
"""The services without which the gateway is not ready.

Not payment and delivery: while they are unavailable orders are accepted, and wait for them in the saga.
"""


class Clients:
    """Stubs of the services, usable inside `async with`: `purchase`, `stock`, …, and those of `stub`.

    Calls carry the caller's token and take at most the request's remaining time. They raise AioRpcError:
    UNAVAILABLE only after retries.
    """

    def __init__(
        self,
        targets: Mapping[str, str],
        timeout_seconds: float,
        tracer: Tracer | None = None,
        connect: Callable[[str], grpc.aio.Channel] | None = None,
    ) -> None:
        """`targets`: gRPC targets by the names of SERVICES. `timeout_seconds`: the most a call takes.

        `connect` returns a channel to a service, for tests; None: one to its target.
        """
        self._connect = connect or self._connect_to_target
        self._targets = targets
        self._timeout_seconds = timeout_seconds
        tracing = TracingClientInterceptor(tracer, message_attributes) if tracer else None
        self._interceptors = [tracing] if tracing else None
        self._channels: dict[str, ServiceChannel] = {}
        self._stubs: dict[tuple[str, object], object] = {}
        self._open = AsyncExitStack()

    async def __aenter__(self) -> Self:
        for name in SERVICES:
            channel = ServiceChannel(partial(self._connect, name), self._timeout_seconds)
            self._channels[name] = await self._open.enter_async_context(channel)
        self.purchase = self.stub("purchase", PurchaseStub)
        self.stock = self.stub("stock", StockStub)
        self.payment = self.stub("payment", PaymentStub)
        self.delivery = self.stub("delivery", DeliveryStub)
        return self

    def stub(self, service: str, stub: Callable[[grpc.aio.Channel], Stub]) -> Stub:
        """Return a stub of a service, such as `clients.stub("loyalty", LoyaltyStub)`.

        Raises KeyError if the service is unknown, or the clients are not open.
        """
        key = (service, stub)
        if key not in self._stubs:
            self._stubs[key] = stub(cast(grpc.aio.Channel, self._channels[service]))
        return cast(Stub, self._stubs[key])

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._open.aclose()

    async def not_serving(self, names: Collection[str]) -> list[str]:
        """Return the services whose health service does not answer SERVING within a second."""
        serving = await asyncio.gather(*(self._channels[name].is_serving() for name in names))
        return [name for name, serves in zip(names, serving, strict=True) if not serves]

    def _connect_to_target(self, name: str) -> grpc.aio.Channel:
        options = channel_options(*TOPOLOGY.service(name).grpc_services)
        return grpc.aio.insecure_channel(self._targets[name], options, interceptors=self._interceptors)
