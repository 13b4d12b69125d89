"""Makes topics and subscriptions in Pub/Sub, or brings those that are there up to date."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from google.api_core import exceptions
from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask
from google.pubsub_v1 import types
from google.pubsub_v1.services.publisher import PublisherAsyncClient
from google.pubsub_v1.services.publisher.transports import PublisherGrpcAsyncIOTransport
from google.pubsub_v1.services.subscriber import SubscriberAsyncClient
from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcAsyncIOTransport

from sagakit.bus import SubscriptionSpec
from sagakit.gcp.channels import aio_transport, away

CALL_SECONDS = 30.0
KEPT_SECONDS = 7 * 24 * 3600
"""How long an unacknowledged message is kept; the inbox remembers for much longer."""

_CHANGEABLE = ("ack_deadline_seconds", "dead_letter_policy", "message_retention_duration", "retry_policy")
_NOT_IN_THE_EMULATOR = ("expiration_policy",)


class PubsubProvisioner:
    """For one project. Safe to repeat, and for several to do at once."""

    def __init__(
        self,
        publisher: PublisherAsyncClient,
        subscriber: SubscriberAsyncClient,
        project: str,
        changeable: Sequence[str],
    ) -> None:
        """`changeable`: the settings of a subscription that can be updated."""
        self._publisher = publisher
        self._subscriber = subscriber
        self._project = project
        self._changeable = changeable

    async def ensure_topic(self, topic: str) -> None:
        await self._ensure(self._publisher.create_topic, types.Topic(name=self._topic(topic)))

    async def ensure_subscription(self, spec: SubscriptionSpec) -> None:
        wanted = self._subscription(spec)
        if await self._ensure(self._subscriber.create_subscription, wanted):
            return
        update = types.UpdateSubscriptionRequest(
            subscription=wanted, update_mask=FieldMask(paths=self._changeable)
        )
        await self._call(self._subscriber.update_subscription, update)

    async def _ensure(self, create: Any, resource: Any) -> bool:
        try:
            await self._call(create, resource)
        except exceptions.AlreadyExists:
            return False
        return True

    async def _call(self, method: Any, request: Any) -> None:
        try:
            await method(request, timeout=CALL_SECONDS)
        except exceptions.AlreadyExists:
            raise
        except exceptions.GoogleAPICallError as error:
            raise away(error) from error

    def _subscription(self, spec: SubscriptionSpec) -> types.Subscription:
        return types.Subscription(
            name=f"projects/{self._project}/subscriptions/{spec.name}",
            topic=self._topic(spec.topic),
            ack_deadline_seconds=spec.ack_deadline_seconds,
            message_retention_duration=Duration(seconds=KEPT_SECONDS),
            expiration_policy=types.ExpirationPolicy(),  # empty: never
            retry_policy=types.RetryPolicy(
                minimum_backoff=_duration(spec.min_retry_seconds),
                maximum_backoff=_duration(spec.max_retry_seconds),
            ),
            dead_letter_policy=spec.dead_letter_topic
            and types.DeadLetterPolicy(
                dead_letter_topic=self._topic(spec.dead_letter_topic),
                max_delivery_attempts=spec.max_delivery_attempts,
            ),
        )

    def _topic(self, topic: str) -> str:
        return f"projects/{self._project}/topics/{topic}"


def _duration(seconds: float) -> Duration:
    duration = Duration()
    duration.FromMilliseconds(round(seconds * 1000))
    return duration


@asynccontextmanager
async def open_pubsub_provisioner(project: str, emulator: str) -> AsyncIterator[PubsubProvisioner]:
    publisher = aio_transport(PublisherGrpcAsyncIOTransport, emulator)
    subscriber = aio_transport(SubscriberGrpcAsyncIOTransport, emulator)
    try:
        yield PubsubProvisioner(
            PublisherAsyncClient(transport=publisher),
            SubscriberAsyncClient(transport=subscriber),
            project,
            _CHANGEABLE if emulator else (*_CHANGEABLE, *_NOT_IN_THE_EMULATOR),
        )
    finally:
        await publisher.close()
        await subscriber.close()
