"""Creates topics and subscriptions in Pub/Sub, and updates those that exist."""

import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any

from google.api_core import exceptions
from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask
from google.pubsub_v1 import types
from google.pubsub_v1.services.publisher import PublisherAsyncClient
from google.pubsub_v1.services.publisher.transports import PublisherGrpcAsyncIOTransport
from google.pubsub_v1.services.subscriber import SubscriberAsyncClient
from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcAsyncIOTransport

from sagakit.backends.gcp.channels import aio_transport, to_unavailable
from sagakit.bus import SubscriptionSpec

CALL_TIMEOUT_SECONDS = 30.0
MESSAGE_RETENTION_SECONDS = 7 * 24 * 3600
"""How long an unacknowledged message is kept; the inbox's retention is much longer."""
EPHEMERAL_RETENTION_SECONDS = 600
"""The same for an ephemeral subscription: Pub/Sub's minimum."""
DEAD_AFTER_SECONDS = 1800
"""Age after which an ephemeral subscription that was not ensured again belongs to a dead process."""

_ENSURED = "ensured"
"""Label with the time an ephemeral subscription was last ensured, in seconds since the epoch."""

_CHANGEABLE = ("ack_deadline_seconds", "dead_letter_policy", "message_retention_duration", "retry_policy")
_NOT_IN_THE_EMULATOR = ("expiration_policy", "labels")


class PubsubProvisioner:
    """Provisions one project. Safe to repeat, and to run concurrently."""

    def __init__(
        self,
        publisher: PublisherAsyncClient,
        subscriber: SubscriberAsyncClient,
        project: str,
        changeable: Sequence[str],
    ) -> None:
        """`changeable`: the fields of a subscription that can be updated."""
        self._publisher = publisher
        self._subscriber = subscriber
        self._project = project
        self._changeable = changeable
        self.now: Callable[[], float] = time.time

    async def ensure_topic(self, topic: str) -> None:
        await self._ensure(self._publisher.create_topic, types.Topic(name=self._topic(topic)))

    async def ensure_subscription(self, spec: SubscriptionSpec) -> None:
        wanted = self._subscription(spec)
        if await self._ensure(self._subscriber.create_subscription, wanted):
            return
        update = types.UpdateSubscriptionRequest(
            subscription=wanted, update_mask=FieldMask(paths=self._changeable)
        )
        with _translated():
            await self._subscriber.update_subscription(update, timeout=CALL_TIMEOUT_SECONDS)

    async def remove_subscription(self, name: str) -> None:
        request = types.DeleteSubscriptionRequest(subscription=self._path(name))
        with _translated(), suppress(exceptions.NotFound):
            await self._subscriber.delete_subscription(request, timeout=CALL_TIMEOUT_SECONDS)

    async def sweep(self, prefix: str) -> list[str]:
        dead = [each.name.rpartition("/")[2] async for each in self.listed(prefix) if self._is_dead(each)]
        for name in dead:
            await self.remove_subscription(name)
        return dead

    async def listed(self, prefix: str) -> AsyncIterator[types.Subscription]:
        request = types.ListSubscriptionsRequest(project=f"projects/{self._project}")
        with _translated():
            async for each in await self._subscriber.list_subscriptions(
                request, timeout=CALL_TIMEOUT_SECONDS
            ):
                if each.name.startswith(self._path(prefix)):
                    yield each

    def _is_dead(self, subscription: types.Subscription) -> bool:
        ensured = subscription.labels.get(_ENSURED)
        return ensured is not None and int(ensured) < self.now() - DEAD_AFTER_SECONDS

    async def _ensure(self, create: Any, resource: Any) -> bool:
        try:
            with _translated():
                await create(resource, timeout=CALL_TIMEOUT_SECONDS)
        except exceptions.AlreadyExists:
            return False
        return True

    def _subscription(self, spec: SubscriptionSpec) -> types.Subscription:
        return types.Subscription(
            name=self._path(spec.name),
            topic=self._topic(spec.topic),
            ack_deadline_seconds=spec.ack_deadline_seconds,
            **self._lifetime(spec),
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

    def _lifetime(self, spec: SubscriptionSpec) -> dict[str, Any]:
        if spec.expires_after_seconds is None:
            return {
                "message_retention_duration": Duration(seconds=MESSAGE_RETENTION_SECONDS),
                "expiration_policy": types.ExpirationPolicy(),  # empty: never
            }
        return {
            "message_retention_duration": Duration(seconds=EPHEMERAL_RETENTION_SECONDS),
            "expiration_policy": types.ExpirationPolicy(ttl=Duration(seconds=spec.expires_after_seconds)),
            "labels": {_ENSURED: str(int(self.now()))},
        }

    def _topic(self, topic: str) -> str:
        return f"projects/{self._project}/topics/{topic}"

    def _path(self, name: str) -> str:
        return f"projects/{self._project}/subscriptions/{name}"


@contextmanager
def _translated() -> Iterator[None]:
    """Translate errors to Unavailable, except AlreadyExists."""
    try:
        yield
    except exceptions.AlreadyExists:
        raise
    except exceptions.GoogleAPICallError as error:
        raise to_unavailable(error) from error


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
