"""gRPC clients of the services: balanced, with deadlines, reconnecting quickly after a restart."""

import asyncio
from collections.abc import Collection, Mapping
from contextlib import AsyncExitStack
from functools import partial
from types import TracebackType
from typing import Self, cast

import grpc
from google.protobuf.descriptor import ServiceDescriptor
from grpc_health.v1.health_pb2 import HealthCheckResponse
from opentelemetry.trace import Tracer

from contract.calls import channel_options
from contract.shop import message_attributes
from rpc import delivery_pb2, payment_pb2, purchase_pb2, stock_pb2
from rpc.delivery_pb2_grpc import DeliveryStub
from rpc.payment_pb2_grpc import PaymentStub
from rpc.purchase_pb2_grpc import PurchaseStub
from rpc.stock_pb2_grpc import StockStub
from sagakit.grpc.tracing import TracingClientInterceptor
from services.gateway.channels import ServiceChannel

SERVICES: Mapping[str, ServiceDescriptor] = {
    "purchase": purchase_pb2.DESCRIPTOR.services_by_name["Purchase"],
    "stock": stock_pb2.DESCRIPTOR.services_by_name["Stock"],
    "payment": payment_pb2.DESCRIPTOR.services_by_name["Payment"],
    "delivery": delivery_pb2.DESCRIPTOR.services_by_name["Delivery"],
}
NEEDED = ("purchase", "stock")
"""The services without which the gateway is not ready.

Not payment and delivery: while they are unavailable orders are accepted, and wait for them in the saga.
"""

_HEALTH_TIMEOUT_SECONDS = 1.0


class Clients:
    """A stub for each service (`purchase`, `stock`, …), usable inside `async with`.

    Calls carry the caller's token and take at most the request's remaining time. They raise AioRpcError:
    UNAVAILABLE only after retries.
    """

    def __init__(
        self, targets: Mapping[str, str], timeout_seconds: float, tracer: Tracer | None = None
    ) -> None:
        """`targets`: gRPC targets by the names of SERVICES. `timeout_seconds`: the most a call takes."""
        self._targets = targets
        self._timeout_seconds = timeout_seconds
        tracing = TracingClientInterceptor(tracer, message_attributes) if tracer else None
        self._interceptors = [tracing] if tracing else None
        self._channels: dict[str, ServiceChannel] = {}
        self._open = AsyncExitStack()

    async def __aenter__(self) -> Self:
        for name in SERVICES:
            channel = ServiceChannel(partial(self._connect, name), self._timeout_seconds)
            self._channels[name] = await self._open.enter_async_context(channel)
        channels = cast(Mapping[str, grpc.aio.Channel], self._channels)
        self.purchase = PurchaseStub(channels["purchase"])
        self.stock = StockStub(channels["stock"])
        self.payment = PaymentStub(channels["payment"])
        self.delivery = DeliveryStub(channels["delivery"])
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._open.aclose()

    async def not_serving(self, names: Collection[str]) -> list[str]:
        """Return the services whose health service does not answer SERVING within a second."""
        serving = await asyncio.gather(*(self._serves(name) for name in names))
        return [name for name, serves in zip(names, serving, strict=True) if not serves]

    def _connect(self, name: str) -> grpc.aio.Channel:
        options = channel_options(SERVICES[name].full_name)
        return grpc.aio.insecure_channel(self._targets[name], options, interceptors=self._interceptors)

    async def _serves(self, name: str) -> bool:
        try:
            health = await self._channels[name].check_health(_HEALTH_TIMEOUT_SECONDS)
        except grpc.aio.AioRpcError:
            return False
        return bool(health.status == HealthCheckResponse.SERVING)
