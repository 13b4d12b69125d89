"""`Bus` over Pub/Sub, on the event loop: publishing, and streaming pulls."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import grpc
from google.api_core import exceptions
from google.protobuf import empty_pb2
from google.pubsub_v1 import types
from google.pubsub_v1.services.publisher.transports import PublisherGrpcAsyncIOTransport
from google.pubsub_v1.services.publisher.transports.base import DEFAULT_CLIENT_INFO

from sagakit.backends.gcp.channels import RawStreamCall, RawUnaryCall, aio_channel
from sagakit.backends.gcp.errors import to_unavailable, translated
from sagakit.backends.gcp.leases import LEASE_SECONDS, Leases
from sagakit.backends.gcp.streaming_pull import MAX_BYTES, PubsubSubscription
from sagakit.bus import Delivery, Message
from sagakit.errors import Poison, SagaError

PUBLISH_TIMEOUT_SECONDS = 10.0
GET_TIMEOUT_SECONDS = 10.0
CLOSE_TIMEOUT_SECONDS = 5.0
DELETED_TOPIC = "_deleted-topic_"
"""The topic of a subscription whose topic was deleted. It remains if the topic is created again."""

_PublishRequest: Any = types.PublishRequest.pb()
_GetSubscriptionRequest: Any = types.GetSubscriptionRequest.pb()
_StreamingPullRequest: Any = types.StreamingPullRequest.pb()


class PubsubBus:
    """The topics and subscriptions of one project."""

    def __init__(self, channel: grpc.aio.Channel, project: str, subscription_project: str = "") -> None:
        """`subscription_project`: the project of the subscriptions, if it is not the one of the topics."""
        self._channel = channel
        self._publishing: dict[str, RawUnaryCall] = {}
        self._project = project
        self._subscription_project = subscription_project or project
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
    ) -> PubsubSubscription:
        path = self._path(name)
        routing = {"subscription": path}
        acknowledge, modify = (
            self._method(f"Subscriber/{method}", empty_pb2.Empty, routing)
            for method in ("Acknowledge", "ModifyAckDeadline")
        )
        pull = PubsubSubscription(
            RawStreamCall(
                self._channel,
                "/google.pubsub.v1.Subscriber/StreamingPull",
                types.StreamingPullResponse.pb(),
                DEFAULT_CLIENT_INFO,
                routing,
            ),
            Leases(acknowledge, modify, path),
            _StreamingPullRequest(
                subscription=path,
                stream_ack_deadline_seconds=LEASE_SECONDS,
                max_outstanding_messages=max_outstanding,
                max_outstanding_bytes=MAX_BYTES,
            ),
            receive,
        )
        self._pulls.add(pull)
        pull.done.add_done_callback(lambda _: self._pulls.discard(pull))
        return pull

    def _path(self, name: str) -> str:
        return f"projects/{self._subscription_project}/subscriptions/{name}"

    async def subscription_problem(self, name: str) -> str | None:
        path = self._path(name)
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
            pull.abandon()
        if pulls:
            await asyncio.wait([pull.done for pull in pulls], timeout=CLOSE_TIMEOUT_SECONDS)


@asynccontextmanager
async def open_pubsub(
    project: str, emulator: str, subscription_project: str = ""
) -> AsyncIterator[PubsubBus]:
    """Open the bus of `project`, or of the emulator at `host:port` if one is given."""
    channel = aio_channel(PublisherGrpcAsyncIOTransport, emulator)
    bus = PubsubBus(channel, project, subscription_project)
    try:
        yield bus
    finally:
        await bus.close()
        await channel.close()


def _publish_error(error: Exception) -> SagaError:
    if isinstance(error, exceptions.InvalidArgument):
        return Poison(f"unpublishable: {error.message}")
    return to_unavailable(error)
