"""Ends a streaming pull by half-closing it, which the Pub/Sub emulator notices.

The subscriber client cancels its stream. The emulator (0.8.20) continues to lease messages to a cancelled
stream, but stops at once if the client has ended its requests.
"""

import threading
from collections.abc import Callable, Iterator
from typing import Any

import grpc
from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcTransport

HALF_CLOSE_TIMEOUT_SECONDS = 0.8
"""Less than the second that the client waits for its own thread."""


class HalfClosingPullTransport(SubscriberGrpcTransport):
    """The subscriber client's transport to the emulator."""

    # Not an interceptor: with one, gRPC would not report that a closed channel cannot open streams.
    _pull: "_StreamingPull | None" = None

    @property
    def streaming_pull(self) -> Any:
        if self._pull is None:
            self._pull = _StreamingPull(super().streaming_pull)
        return self._pull


class _StreamingPull:
    """The method of the stub, which opens streams."""

    def __init__(self, stub: Callable[..., Any]) -> None:
        self._stub = stub

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return _Stream(self._stub(*args, **kwargs))


class _Stream:
    """A stream whose cancellation waits until the server has ended it, at most HALF_CLOSE_TIMEOUT_SECONDS.

    Errors after that are hidden from the client, which would open another stream.
    """

    def __init__(self, call: Any) -> None:
        self._call = call
        self._ending = False

    def cancel(self) -> None:
        """Cancel the stream later: the client ends its requests right after this call."""
        if self._ending or not self._call.is_active():
            self._call.cancel()
            return
        self._ending = True
        timer = threading.Timer(HALF_CLOSE_TIMEOUT_SECONDS, self._call.cancel)
        timer.daemon = True
        timer.start()

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        try:
            return next(self._call)
        except grpc.RpcError:
            if self._ending:
                raise StopIteration from None
            raise

    def add_done_callback(self, callback: Callable[[Any], None]) -> None:
        self._call.add_done_callback(lambda call: None if self._ending else callback(call))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._call, name)
