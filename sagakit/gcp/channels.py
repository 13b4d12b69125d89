"""gRPC channels to Google's APIs and to the emulators, which reconnect quickly."""

from typing import Any

import grpc
from google.api_core import exceptions

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
    if emulator:
        return transport(channel=grpc.aio.insecure_channel(emulator, options=CHANNEL_OPTIONS))
    return transport(
        channel=transport.create_channel(f"{transport.DEFAULT_HOST}:443", options=GOOGLE_OPTIONS)
    )


def away(error: exceptions.GoogleAPICallError) -> SagaError:
    """What a failed call means where nothing can have been changed."""
    return Unavailable(f"{error.grpc_status_code}: {error.message}")
