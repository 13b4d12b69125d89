"""`Bus` over Pub/Sub: publishing on the event loop, pulling through the official subscriber client."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import grpc
from google.api_core import exceptions
from google.cloud import pubsub_v1
from google.cloud.pubsub_v1.subscriber.message import Message as PubsubMessage
from google.cloud.pubsub_v1.types import FlowControl
from google.pubsub_v1 import types
from google.pubsub_v1.services.publisher.transports import PublisherGrpcAsyncIOTransport
from google.pubsub_v1.services.publisher.transports.base import DEFAULT_CLIENT_INFO
from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcTransport

from sagakit.backends.gcp.channels import EMULATOR_OPTIONS, RawUnaryCall, aio_channel, google_channel
from sagakit.backends.gcp.emulator_pull import HalfClosingPullTransport
from sagakit.backends.gcp.errors import to_unavailable, translated
from sagakit.backends.gcp.scheduler import LoopScheduler
from sagakit.bus import Delivery, Message
from sagakit.errors import Poison, SagaError, Unavailable

PUBLISH_TIMEOUT_SECONDS = 10.0
GET_TIMEOUT_SECONDS = 10.0
CLOSE_TIMEOUT_SECONDS = 5.0
MAX_BYTES = 64 * 1024 * 1024
LEASE_SECONDS = 10
"""How long a message is unavailable to others after its process crashed: Pub/Sub's minimum."""
MAX_LEASE_SECONDS = 300

DELETED_TOPIC = "_deleted-topic_"
"""The topic of a subscription whose topic was deleted. It remains if the topic is created again."""

_PublishRequest: Any = types.PublishRequest.pb()
_GetSubscriptionRequest: Any = types.GetSubscriptionRequest.pb()


class PubsubBus:
    """The topics and subscriptions of one project."""

    def __init__(
        self,
        channel: grpc.aio.Channel,
        subscriber: pubsub_v1.SubscriberClient,
        project: str,
        lease_seconds: int = LEASE_SECONDS,
        subscription_project: str = "",
    ) -> None:
        """`channel` is used for everything but pulling.

        `subscription_project`: the project of the subscriptions, if it is not the one of the topics.
        """
        self._channel = channel
        self._publishing: dict[str, RawUnaryCall] = {}
        self._subscriber = subscriber
        self._project = project
        self._subscription_project = subscription_project or project
        self._lease_seconds = lease_seconds
        self._pulls: set[PubsubSubscription] = set()

    async def publish(self, topic: str, messages: Sequence[Message]) -> None:
        path = f"projects/{self._project}/topics/{topic}"
        request = _PublishRequest(
            topic=path,
            messages=[{"data": each.data, "attributes": dict(each.attributes)} for each in messages],
        )
        with translated(_publish_error):
            await self._publisher(path)(request, PUBLISH_TIMEOUT_SECONDS)

    def _publisher(self, path: str) -> RawUnaryCall:
        """Return the call for a topic: each has a routing header of its own."""
        if path not in self._publishing:
            publish = self._method("Publisher/Publish", types.PublishResponse.pb(), {"topic": path})
            self._publishing[path] = publish
        return self._publishing[path]

    def _method(self, name: str, response: Any, routing: Mapping[str, str]) -> RawUnaryCall:
        path = f"/google.pubsub.v1.{name}"
        return RawUnaryCall(self._channel, path, response, DEFAULT_CLIENT_INFO, routing)

    def subscribe(
        self, name: str, receive: Callable[[Delivery], None], max_outstanding: int
    ) -> "PubsubSubscription":
        loop = asyncio.get_running_loop()
        scheduler = LoopScheduler(loop)
        with translated():
            future = self._subscriber.subscribe(
                f"projects/{self._subscription_project}/subscriptions/{name}",
                callback=lambda message: receive(PubsubDelivery(message, scheduler)),
                flow_control=FlowControl(
                    max_messages=max_outstanding,
                    max_bytes=MAX_BYTES,
                    max_lease_duration=MAX_LEASE_SECONDS,
                    min_duration_per_lease_extension=self._lease_seconds,
                    max_duration_per_lease_extension=self._lease_seconds,
                ),
                scheduler=scheduler,  # type: ignore[arg-type]  # annotated narrower than documented
                await_callbacks_on_shutdown=True,
            )
        pull = PubsubSubscription(future, scheduler, loop)
        self._pulls.add(pull)
        pull.done.add_done_callback(lambda _: self._pulls.discard(pull))
        return pull

    async def subscription_problem(self, name: str) -> str | None:
        path = f"projects/{self._subscription_project}/subscriptions/{name}"
        get = self._method("Subscriber/GetSubscription", types.Subscription.pb(), {"subscription": path})
        with translated():
            try:
                found = await get(_GetSubscriptionRequest(subscription=path), GET_TIMEOUT_SECONDS)
            except grpc.aio.AioRpcError as error:
                if error.code() is grpc.StatusCode.NOT_FOUND:
                    return f"subscription {name} does not exist: has it been provisioned?"
                if error.code() is grpc.StatusCode.PERMISSION_DENIED:
                    return None  # It may only pull: that is what shows whether it can.
                raise
        topic_deleted = found.topic == DELETED_TOPIC
        return f"the topic of subscription {name} was deleted: provision again" if topic_deleted else None

    async def close(self) -> None:
        """Close the pulls, after sending what has been settled; the leases of the others expire."""
        pulls = list(self._pulls)
        for pull in pulls:
            await pull.abandon()
        if pulls:
            await asyncio.wait([pull.done for pull in pulls], timeout=CLOSE_TIMEOUT_SECONDS)


class PubsubDelivery:
    """A message leased by the subscriber client."""

    def __init__(self, message: PubsubMessage, scheduler: LoopScheduler) -> None:
        self._message = message
        self._scheduler = scheduler
        self.message = Message(message.data, dict(message.attributes))

    @property
    def attempt(self) -> int:
        return self._message.delivery_attempt or 1

    def ack(self) -> None:
        self._message.ack()
        self._scheduler.settled()

    def nack(self) -> None:
        self._message.nack()
        self._scheduler.settled()


class PubsubSubscription:
    """A streaming pull. The client reconnects it until a permanent error."""

    def __init__(self, future: Any, scheduler: LoopScheduler, loop: asyncio.AbstractEventLoop) -> None:
        self._future = future
        self._scheduler = scheduler
        self.done: asyncio.Future[BaseException | None] = loop.create_future()
        future.add_done_callback(lambda future: loop.call_soon_threadsafe(self._complete, future))

    async def ended(self) -> None:
        error = await asyncio.shield(self.done)
        if error is not None:
            raise Unavailable(f"pulling ended: {error}") from error

    async def close(self) -> None:
        """Stop pulling; returns at once. The client renews the leases in flight until they are settled."""
        self._future.cancel()

    async def abandon(self) -> None:
        """Close without waiting for deliveries in flight."""
        await self.close()
        self._scheduler.abandon()

    def _complete(self, future: Any) -> None:
        if not self.done.done():
            self.done.set_result(None if future.cancelled() else future.exception())


@asynccontextmanager
async def open_pubsub(
    project: str, emulator: str, lease_seconds: int = LEASE_SECONDS, subscription_project: str = ""
) -> AsyncIterator[PubsubBus]:
    """Open the bus of `project`, or of the emulator at `host:port` if one is given."""
    channel = aio_channel(PublisherGrpcAsyncIOTransport, emulator)
    subscriber = pubsub_v1.SubscriberClient(transport=subscriber_transport(emulator))
    bus = PubsubBus(channel, subscriber, project, lease_seconds, subscription_project)
    try:
        yield bus
    finally:
        await bus.close()
        await channel.close()
        # The threads of a pull that has not ended, as during an outage of the broker, end with its channel.
        await asyncio.to_thread(subscriber.close)


def subscriber_transport(emulator: str) -> SubscriberGrpcTransport:
    """Return a blocking transport, which the subscriber client's threads need."""
    if emulator:
        return HalfClosingPullTransport(channel=grpc.insecure_channel(emulator, options=EMULATOR_OPTIONS))
    return SubscriberGrpcTransport(channel=google_channel(SubscriberGrpcTransport))


def _publish_error(error: Exception) -> SagaError:
    if isinstance(error, exceptions.InvalidArgument):
        return Poison(f"unpublishable: {error.message}")
    return to_unavailable(error)
