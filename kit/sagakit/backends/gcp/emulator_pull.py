"""Ends a streaming pull so that the Pub/Sub emulator notices.

The subscriber client cancels its stream. The emulator (0.8.20) goes on handing messages to a cancelled
stream, for a lease each time; one whose requests have ended it forgets at once.
"""

import threading
from collections.abc import Callable, Iterator
from typing import Any

import grpc
from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcTransport

HALF_CLOSE_TIMEOUT_SECONDS = 0.8
"""Less than the second for which the client waits for its own thread."""


class HalfClosingPullTransport(SubscriberGrpcTransport):
    """The subscriber client's transport to the emulator."""

    # No interceptor: gRPC would hide from the client that a closed channel opens no streams.
    _pull: "_StreamingPull | None" = None

    @property
    def streaming_pull(self) -> Any:
        if self._pull is None:
            self._pull = _StreamingPull(super().streaming_pull)
        return self._pull


class _StreamingPull:
    """What opens streams."""

    def __init__(self, stub: Callable[..., Any]) -> None:
        self._stub = stub

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return _Stream(self._stub(*args, **kwargs))


class _Stream:
    """A stream that is cancelled only where it does not end by itself once its requests have.

    However it ends after that, the client is not told of an error, for which it would open another.
    """

    def __init__(self, call: Any) -> None:
        self._call = call
        self._ending = False

    def cancel(self) -> None:
        """The client ends the requests right after this."""
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
