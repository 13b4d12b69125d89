"""The gRPC channels to the services: balanced, bounded in time, quick to find a restarted service again."""

import asyncio
from collections.abc import Collection, Mapping
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any, Self

import grpc
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub
from opentelemetry.trace import Tracer

from contract.calls import service_config
from contract.shop import message_attributes
from rpc import delivery_pb2, payment_pb2, purchase_pb2, stock_pb2
from sagakit import deadline
from sagakit.grpc.tracing import TracingClientInterceptor
from services.gateway import behalf

SERVICES: Mapping[str, ServiceDescriptor] = {
    "purchase": purchase_pb2.DESCRIPTOR.services_by_name["Purchase"],
    "stock": stock_pb2.DESCRIPTOR.services_by_name["Stock"],
    "payment": payment_pb2.DESCRIPTOR.services_by_name["Payment"],
    "delivery": delivery_pb2.DESCRIPTOR.services_by_name["Delivery"],
}
NEEDED = ("purchase", "stock")
"""Those that must serve for the gateway to be ready: it is out of balancing without them.

Not payment and delivery: while they are away orders are taken all the same, and wait for them in the saga.
"""

_HEALTH_SECONDS = 1.0
_CHANNEL_OPTIONS = (
    # gRPC's own defaults let a channel sulk for two minutes after an outage, wait 20 seconds for an
    # address that does not answer, and ask DNS for new replicas twice a minute.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 1_000),
    ("grpc.max_reconnect_backoff_ms", 2_000),
    ("grpc.dns_min_time_between_resolutions_ms", 2_000),
    # The services are neighbours; a proxy set for the way out is not meant for them.
    ("grpc.enable_http_proxy", 0),
)


class Clients:
    """A channel to each service, open from entering to leaving."""

    def __init__(
        self, targets: Mapping[str, str], timeout_seconds: float, tracer: Tracer | None = None
    ) -> None:
        """`targets`: what gRPC dials, by the names of SERVICES. No call takes longer than the timeout."""
        self._targets = targets
        self._timeout_seconds = timeout_seconds
        self._interceptors = (
            None if tracer is None else [TracingClientInterceptor(tracer, message_attributes)]
        )
        self._calls: dict[str, grpc.aio.UnaryUnaryMultiCallable[Any, Any]] = {}
        self._health: dict[str, Any] = {}
        self._channels = AsyncExitStack()

    async def __aenter__(self) -> Self:
        for name, service in SERVICES.items():
            # A channel belongs to the loop that runs when it is made.
            channel = grpc.aio.insecure_channel(
                self._targets[name], _options(service), interceptors=self._interceptors
            )
            await self._channels.enter_async_context(channel)
            channel.get_state(try_to_connect=True)
            self._health[name] = HealthStub(channel)
            self._calls |= {method.full_name: _callable(channel, method) for method in service.methods}
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._channels.aclose()

    async def call(self, method: MethodDescriptor, message: Message) -> Message:
        """The service's answer. Raises AioRpcError: UNAVAILABLE only after having tried again."""
        answer: Message = await self._calls[method.full_name](
            message, timeout=deadline.remaining(self._timeout_seconds), metadata=behalf.metadata()
        )
        return answer

    async def not_serving(self, names: Collection[str]) -> list[str]:
        """Those of the services whose health service does not answer SERVING within a second."""
        serving = await asyncio.gather(*(self._serves(name) for name in names))
        return [name for name, serves in zip(names, serving, strict=True) if not serves]

    async def _serves(self, name: str) -> bool:
        try:
            health = await self._health[name].Check(HealthCheckRequest(), timeout=_HEALTH_SECONDS)
        except grpc.aio.AioRpcError:
            return False
        return bool(health.status == HealthCheckResponse.SERVING)


def _options(service: ServiceDescriptor) -> tuple[tuple[str, Any], ...]:
    return (*_CHANNEL_OPTIONS, ("grpc.service_config", service_config(service.full_name)))


def _callable(channel: grpc.aio.Channel, method: MethodDescriptor) -> Any:
    return channel.unary_unary(
        f"/{method.containing_service.full_name}/{method.name}",
        request_serializer=GetMessageClass(method.input_type).SerializeToString,
        response_deserializer=GetMessageClass(method.output_type).FromString,
    )
