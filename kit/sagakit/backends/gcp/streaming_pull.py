"""A streaming pull on the event loop, for a fraction of the CPU of the subscriber client and its threads."""

import asyncio
import contextvars
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import grpc
from google.pubsub_v1 import types

from sagakit.backends.gcp.channels import RawStreamCall
from sagakit.backends.gcp.errors import translated
from sagakit.backends.gcp.leases import Leases
from sagakit.bus import Delivery, Message
from sagakit.concurrency import first_completed, is_cancelled
from sagakit.errors import SagaError, Unavailable

HEARTBEAT_SECONDS = 30.0
"""Interval of empty requests, which show everything in between that the stream is used."""
END_TIMEOUT_SECONDS = 0.8
"""Time that the broker has to end a stream whose requests have ended, before it is cancelled. The Pub/Sub
emulator continues to lease messages to a stream that was only cancelled."""
DRAIN_TIMEOUT_SECONDS = 30.0
LASTING_SECONDS = 5.0
"""A stream that lasted this long is opened again when the broker ends it, as Pub/Sub does every half hour."""
TRANSIENT = {
    grpc.StatusCode.ABORTED,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.INTERNAL,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.UNKNOWN,
}
MAX_BYTES = 64 * 1024 * 1024

_Request: Any = types.StreamingPullRequest.pb()


class PubsubSubscription:
    """A pull of a subscription, opened again when the broker ends it after a while."""

    def __init__(
        self,
        stream: RawStreamCall,
        leases: Leases,
        first_request: Any,
        receive: Callable[[Delivery], None],
    ) -> None:
        self._stream = stream
        self._leases = leases
        self._first_request = first_request
        self._receive = receive
        self._max_outstanding: int = first_request.max_outstanding_messages
        self._held: deque[Any] = deque()
        """Received beyond `max_outstanding`: the broker's limit is for one stream, and only nearly exact."""
        self._unsettled = 0
        self._passing_on = False
        self._drained = asyncio.Event()
        self._drained.set()
        self._closing = asyncio.Event()
        self._ended: asyncio.Future[SagaError | None] = asyncio.get_running_loop().create_future()
        self.done = asyncio.create_task(self._run(), context=contextvars.Context())
        """Ends once nothing of it is left to do."""

    async def ended(self) -> None:
        error = await asyncio.shield(self._ended)
        if error is not None:
            raise Unavailable(f"pulling ended: {error}") from error

    async def close(self) -> None:
        """Stop pulling; returns at once. The leases in flight are extended until they are settled."""
        self._closing.set()

    def abandon(self) -> None:
        """Close without waiting for deliveries in flight."""
        self._closing.set()
        self._drained.set()

    def settle(self, ack_id: str, *, acked: bool) -> None:
        """Settle a delivery, and pass on one that was held."""
        self._leases.settle(ack_id, acked=acked)
        self._unsettled -= 1
        self._pass_on()
        if not self._unsettled:
            self._drained.set()

    async def _run(self) -> None:
        try:
            with translated():
                await self._pull()
        except SagaError as error:
            self._ended.set_result(error)
        except Exception as defect:  # noqa: BLE001  `ended` raises it
            self._ended.set_exception(defect)
        self._closing.set()
        while self._held:
            self._leases.settle(self._held.popleft().ack_id, acked=False)
        await first_completed(self._drained.wait(), asyncio.sleep(DRAIN_TIMEOUT_SECONDS))
        await self._leases.close()
        if not self._ended.done():
            self._ended.set_result(None)

    async def _pull(self) -> None:
        loop = asyncio.get_running_loop()
        while not self._closing.is_set():
            opened_at = loop.time()
            error = await self._read_to_the_end()
            is_transient = not isinstance(error, grpc.aio.AioRpcError) or error.code() in TRANSIENT
            if not self._closing.is_set() and (loop.time() - opened_at < LASTING_SECONDS or not is_transient):
                raise error

    async def _read_to_the_end(self) -> Exception:
        """Return why the stream has ended."""
        try:
            await self._read()
        except grpc.aio.AioRpcError as error:
            return error
        except asyncio.CancelledError:
            # Its own cancellation of a stream that the broker did not end in time.
            if not self._closing.is_set() or is_cancelled():
                raise
        return Unavailable("the broker ended the stream")

    async def _read(self) -> None:
        over = asyncio.Event()
        call = self._stream(self._requests(over))
        closing = asyncio.create_task(self._end(call, over))
        try:
            async for response in call:
                self._received(response.received_messages)
        finally:
            over.set()
            closing.cancel()
            call.cancel()

    async def _requests(self, over: asyncio.Event) -> AsyncIterator[Any]:
        yield self._first_request
        while not over.is_set():
            await first_completed(over.wait(), asyncio.sleep(HEARTBEAT_SECONDS))
            if not over.is_set():
                yield _Request()

    async def _end(self, call: Any, over: asyncio.Event) -> None:
        await self._closing.wait()
        over.set()
        await asyncio.sleep(END_TIMEOUT_SECONDS)
        call.cancel()

    def _received(self, messages: Sequence[Any]) -> None:
        self._leases.add(each.ack_id for each in messages)
        self._held.extend(messages)
        self._pass_on()

    def _pass_on(self) -> None:
        # A receiver may settle at once. The next message is passed on by the outer call then: nested, a large
        # response would exceed the recursion limit, and arrive in reverse order.
        if self._passing_on:
            return
        self._passing_on = True
        try:
            while self._held and self._unsettled < self._max_outstanding and not self._closing.is_set():
                self._unsettled += 1
                self._drained.clear()
                self._receive(PubsubDelivery(self._held.popleft(), self))
        finally:
            self._passing_on = False


class PubsubDelivery:
    """A leased message."""

    def __init__(self, received: Any, pull: PubsubSubscription) -> None:
        self._ack_id: str = received.ack_id
        self._pull = pull
        self.attempt: int = received.delivery_attempt or 1
        self.message = Message(received.message.data, dict(received.message.attributes))

    def ack(self) -> None:
        self._pull.settle(self._ack_id, acked=True)

    def nack(self) -> None:
        self._pull.settle(self._ack_id, acked=False)
