"""gRPC channels to Google's APIs and to the emulators, which reconnect quickly, and plain calls over them."""

from collections.abc import Mapping
from operator import methodcaller
from typing import Any

import grpc
from google.api_core import exceptions
from google.api_core.gapic_v1 import routing_header
from google.api_core.gapic_v1.client_info import ClientInfo

from sagakit.errors import SagaError, Unavailable

CHANNEL_OPTIONS = (
    # gRPC's own default lets a channel sulk for two minutes after an outage.
    ("grpc.initial_reconnect_backoff_ms", 100),
    # Misnamed: it is how long a connection may take to come about, which a cold server needs.
    ("grpc.min_reconnect_backoff_ms", 5_000),
    ("grpc.max_reconnect_backoff_ms", 2_000),
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
)
GOOGLE_OPTIONS = (
    *CHANNEL_OPTIONS,
    # As Google's own clients do. The emulators would end every stream of a channel that pings so often
    # while it is idle (ENHANCE_YOUR_CALM, "too_many_pings").
    ("grpc.keepalive_time_ms", 30_000),
)


def aio_transport(transport: Any, emulator: str) -> Any:
    """An asyncio transport of that class, to the emulator at `host:port` or else to Google.

    The asyncio clients do not look at the emulators' environment variables by themselves.
    """
    return transport(channel=aio_channel(transport, emulator))


def aio_channel(transport: Any, emulator: str) -> grpc.aio.Channel:
    """What such a transport would be built on: with Google's credentials, where it leads to Google."""
    if emulator:
        return grpc.aio.insecure_channel(emulator, options=CHANNEL_OPTIONS)
    channel: grpc.aio.Channel = transport.create_channel(
        f"{transport.DEFAULT_HOST}:443", options=GOOGLE_OPTIONS
    )
    return channel


class RawUnaryCall:
    """A method of one of Google's APIs for hot paths, over plain protobufs.

    The generated clients do the same through five more layers, which cost a third of the call's CPU;
    none of them does anything here, where every call has a timeout and no retries.
    """

    def __init__(
        self,
        channel: grpc.aio.Channel,
        path: str,
        response: Any,
        client: ClientInfo,
        routing: Mapping[str, str],
    ) -> None:
        """`path`: as gRPC spells it; `routing`: what tells Google's front ends where the call belongs."""
        self._call: Any = channel.unary_unary(
            path,
            request_serializer=methodcaller("SerializeToString"),
            response_deserializer=response.FromString,
        )
        self._metadata = (client.to_grpc_metadata(), routing_header.to_grpc_metadata(routing))  # type: ignore[no-untyped-call]

    async def __call__(self, request: Any, seconds: float) -> Any:
        """The response, within so many seconds. Raises GoogleAPICallError."""
        try:
            return await self._call(request, timeout=seconds, metadata=self._metadata)
        except grpc.aio.AioRpcError as error:
            raise exceptions.from_grpc_error(error) from error  # type: ignore[no-untyped-call]


def to_unavailable(error: exceptions.GoogleAPICallError) -> SagaError:
    """What a failed call means where nothing can have been changed."""
    return Unavailable(f"{error.grpc_status_code}: {error.message}")
