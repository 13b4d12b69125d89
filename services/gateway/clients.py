"""gRPC clients of the services: balanced, with deadlines, reconnecting quickly after a restart."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any, Self, cast

import grpc
from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.message import Message
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub
from opentelemetry.trace import Tracer

from contract.calls import channel_options
from contract.shop import message_attributes
from rpc import delivery_pb2, payment_pb2, purchase_pb2, stock_pb2
from rpc.delivery_pb2_grpc import DeliveryStub
from rpc.payment_pb2_grpc import PaymentStub
from rpc.purchase_pb2_grpc import PurchaseStub
from rpc.stock_pb2_grpc import StockStub
from sagakit import deadline
from sagakit.grpc.tracing import TracingClientInterceptor
from services.gateway import auth

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
        self._health: dict[str, Any] = {}
        self._channels = AsyncExitStack()

    async def __aenter__(self) -> Self:
        channels = {name: await self._connect(name) for name in SERVICES}
        self.purchase = PurchaseStub(channels["purchase"])
        self.stock = StockStub(channels["stock"])
        self.payment = PaymentStub(channels["payment"])
        self.delivery = DeliveryStub(channels["delivery"])
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._channels.aclose()

    async def not_serving(self, names: Collection[str]) -> list[str]:
        """Return the services whose health service does not answer SERVING within a second."""
        serving = await asyncio.gather(*(self._serves(name) for name in names))
        return [name for name, serves in zip(names, serving, strict=True) if not serves]

    async def _connect(self, name: str) -> grpc.aio.Channel:
        # A channel belongs to the loop that runs when it is made.
        options = channel_options(SERVICES[name].full_name)
        channel = grpc.aio.insecure_channel(self._targets[name], options, interceptors=self._interceptors)
        await self._channels.enter_async_context(channel)
        channel.get_state(try_to_connect=True)
        self._health[name] = HealthStub(channel)
        return cast(grpc.aio.Channel, _CallerChannel(channel, self._timeout_seconds))

    async def _serves(self, name: str) -> bool:
        try:
            health = await self._health[name].Check(HealthCheckRequest(), timeout=_HEALTH_TIMEOUT_SECONDS)
        except grpc.aio.AioRpcError:
            return False
        return bool(health.status == HealthCheckResponse.SERVING)


class _CallerChannel:
    """A channel whose calls carry the caller's token and the request's deadline.

    An interceptor would do the same, at the cost of two more tasks for each call.
    """

    def __init__(self, channel: grpc.aio.Channel, timeout_seconds: float) -> None:
        self._channel = channel
        self._timeout_seconds = timeout_seconds

    def unary_unary(self, *args: Any, **kwargs: Any) -> Callable[[Message], Awaitable[Message]]:
        call: Any = self._channel.unary_unary(*args, **kwargs)

        def invoke(request: Message) -> Awaitable[Message]:
            response: Awaitable[Message] = call(
                request, timeout=deadline.remaining(self._timeout_seconds), metadata=auth.metadata()
            )
            return response

        return invoke
