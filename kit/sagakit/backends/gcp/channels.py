"""gRPC channels to Google's APIs and the emulators, which reconnect quickly, and raw calls over them."""

import json
import threading
from collections.abc import AsyncIterator, Mapping, Sequence
from operator import methodcaller
from typing import Any, ClassVar

import google.auth
import grpc
from google.api_core.gapic_v1 import routing_header
from google.api_core.gapic_v1.client_info import ClientInfo
from google.auth.credentials import Credentials

# A pull that is opened during an outage waits for the connection, and is there as soon as the broker is.
_SERVICE_CONFIG = json.dumps(
    {
        "methodConfig": [
            {
                "name": [{"service": "google.pubsub.v1.Subscriber", "method": "StreamingPull"}],
                "waitForReady": True,
            }
        ]
    }
)
CHANNEL_OPTIONS = (
    # By gRPC's default a channel may wait two minutes after an outage before it reconnects.
    ("grpc.initial_reconnect_backoff_ms", 100),
    # Misnamed: the timeout of a connection attempt; a server that is just starting needs it.
    ("grpc.min_reconnect_backoff_ms", 5_000),
    ("grpc.max_reconnect_backoff_ms", 2_000),
    ("grpc.service_config", _SERVICE_CONFIG),
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
)
EMULATOR_OPTIONS = (
    *CHANNEL_OPTIONS,
    # On this machine or in the same network: a proxy for outgoing traffic does not lead to it.
    ("grpc.enable_http_proxy", 0),
)
GOOGLE_OPTIONS = (
    *CHANNEL_OPTIONS,
    # As Google's own clients do. Not for the emulators: they end every stream of an idle channel that
    # sends so frequent pings (ENHANCE_YOUR_CALM, "too_many_pings").
    ("grpc.keepalive_time_ms", 30_000),
)


def aio_transport(transport: Any, emulator: str) -> Any:
    """Return an asyncio transport of that class, to the emulator at `host:port` or else to Google.

    The asyncio clients do not read the emulators' environment variables.
    """
    return transport(channel=aio_channel(transport, emulator))


def aio_channel(transport: Any, emulator: str) -> grpc.aio.Channel:
    """Return the channel for such a transport, with Google's credentials unless to an emulator."""
    if emulator:
        return grpc.aio.insecure_channel(emulator, options=EMULATOR_OPTIONS)
    channel: grpc.aio.Channel = google_channel(transport)
    return channel


def google_channel(transport: Any) -> Any:
    """Return the channel to Google of a transport class, whether or not there are credentials yet."""
    credentials = LateCredentials(transport.AUTH_SCOPES)
    return transport.create_channel(
        f"{transport.DEFAULT_HOST}:443", credentials=credentials, options=GOOGLE_OPTIONS
    )


class LateCredentials(Credentials):
    """The default credentials, looked up by the first call rather than when a channel is opened.

    They may come from a metadata server that starts later than this process. Until they are found, calls are
    UNAVAILABLE, and each looks them up again.
    """

    def __init__(self, scopes: Sequence[str]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._scopes = scopes
        self._found: Any = None
        self._finding = threading.Lock()

    def before_request(self, request: Any, method: str, url: str, headers: Any) -> None:
        with self._finding:
            if self._found is None:
                self._found, _ = google.auth.default(scopes=self._scopes)
        self._found.before_request(request, method, url, headers)

    def refresh(self, request: Any) -> None:
        raise NotImplementedError("the credentials that were found refresh themselves")


class _RawCall:
    """A method of one of Google's APIs, called with plain protobufs."""

    kind: ClassVar[str]
    """The channel's method that makes such a call."""

    def __init__(
        self,
        channel: grpc.aio.Channel,
        path: str,
        response: Any,
        client: ClientInfo,
        routing: Mapping[str, str],
    ) -> None:
        """`path`: of the method in gRPC; `routing`: the fields of Google's routing header."""
        self._call: Any = getattr(channel, self.kind)(
            path,
            request_serializer=methodcaller("SerializeToString"),
            response_deserializer=response.FromString,
        )
        self._metadata = (client.to_grpc_metadata(), routing_header.to_grpc_metadata(routing))  # type: ignore[no-untyped-call]


class RawUnaryCall(_RawCall):
    """A unary method, for hot paths.

    The generated clients have five more layers, which cost a third of the call's CPU and have no effect
    here, as every call has a timeout and no retries.
    """

    kind = "unary_unary"

    async def __call__(self, request: Any, timeout_seconds: float) -> Any:
        """Return the response. Raises vendor errors (see `translated`), also after the timeout."""
        return await self._call(request, timeout=timeout_seconds, metadata=self._metadata)


class RawStreamCall(_RawCall):
    """A method with streams both ways."""

    kind = "stream_stream"

    def __call__(self, requests: AsyncIterator[Any]) -> Any:
        """Return the open call, an asynchronous iterator of responses. Its iteration raises vendor errors."""
        return self._call(requests, metadata=self._metadata)
