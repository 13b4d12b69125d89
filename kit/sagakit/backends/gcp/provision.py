"""Creates topics and subscriptions in Pub/Sub, and updates those that exist."""

import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

from google.api_core import exceptions
from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.json_format import MessageToDict
from google.pubsub_v1 import types
from google.pubsub_v1.services.publisher import PublisherAsyncClient
from google.pubsub_v1.services.publisher.transports import PublisherGrpcAsyncIOTransport
from google.pubsub_v1.services.subscriber import SubscriberAsyncClient
from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcAsyncIOTransport

from sagakit.backends.gcp.channels import aio_transport
from sagakit.backends.gcp.errors import translated
from sagakit.backends.gcp.filters import delivers_the_rest, filter_of
from sagakit.backends.gcp.pubsub import DELETED_TOPIC
from sagakit.bus import SubscriptionSpec
from sagakit.errors import Unavailable, Unchangeable

CALL_TIMEOUT_SECONDS = 30.0
MESSAGE_RETENTION_SECONDS = 7 * 24 * 3600
"""How long an unacknowledged message is kept; the inbox's retention is much longer."""
DEAD_LETTER_RETENTION_SECONDS = 31 * 24 * 3600
"""The same for a subscription that has no dead-letter topic, as that of the dead letters: Pub/Sub's maximum.
Nothing else has what it loses."""
EPHEMERAL_RETENTION_SECONDS = 600
"""The same for an ephemeral subscription: Pub/Sub's minimum."""
DEAD_AFTER_SECONDS = 1800
"""Age after which an ephemeral subscription that was not ensured again belongs to a dead process."""

_ENSURED = "ensured"
"""Label with the time an ephemeral subscription was last ensured, in seconds since the epoch."""

_CHANGEABLE = ("ack_deadline_seconds", "dead_letter_policy", "message_retention_duration", "retry_policy")
_NOT_IN_THE_EMULATOR = ("expiration_policy", "labels")
_FIXED = ("topic", "filter", "enable_message_ordering")
_ROUNDS = 5
"""Attempts to create or update a subscription that other processes create and delete at the same time."""


def retention_seconds(spec: SubscriptionSpec) -> int:
    """Return how long a subscription keeps a message that is not acknowledged."""
    if spec.expires_after_seconds is not None:
        return EPHEMERAL_RETENTION_SECONDS
    return DEAD_LETTER_RETENTION_SECONDS if spec.dead_letter_topic is None else MESSAGE_RETENTION_SECONDS


class PubsubProvisioner:
    """Provisions one project. Safe to repeat, and to run concurrently."""

    def __init__(
        self,
        publisher: PublisherAsyncClient,
        subscriber: SubscriberAsyncClient,
        project: str,
        changeable: Sequence[str],
        subscription_project: str = "",
    ) -> None:
        """`changeable`: the fields of a subscription that can be updated.

        `subscription_project`: the project of the subscriptions, if it is not the one of the topics.
        """
        self._publisher = publisher
        self._subscriber = subscriber
        self._project = project
        self._changeable = changeable
        self._subscription_project = subscription_project or project
        self.now: Callable[[], float] = time.time
        self.filters = True
        """Whether new subscriptions get filters."""
        self.max_retention_seconds = DEAD_LETTER_RETENTION_SECONDS

    async def ensure_topic(self, topic: str) -> None:
        with translated(), suppress(exceptions.AlreadyExists):
            await self._call(self._publisher.create_topic, types.Topic(name=self._topic(topic)))

    async def ensure_subscription(self, spec: SubscriptionSpec) -> str:
        wanted = self._subscription(spec)
        remade = ""
        for _ in range(_ROUNDS):
            with translated(), suppress(exceptions.AlreadyExists):
                await self._call(self._subscriber.create_subscription, wanted)
                return remade
            # Not found: it was deleted meanwhile. Create it in the next round.
            with translated(), suppress(exceptions.NotFound):
                existing = await self._get(spec.name)
                fixed = _differences(existing, wanted, _FIXED)
                if fixed == ["filter"]:
                    self._check_filter(existing, spec)
                elif fixed:
                    await self.remove_subscription(spec.name)
                    was_deleted = existing.topic == DELETED_TOPIC
                    remade = "remade: its topic was deleted" if was_deleted else f"remade: other {fixed[0]}"
                    continue
                return await self._update(existing, wanted) or remade
        raise Unavailable(f"subscription {spec.name} is being created and deleted by other processes")

    def _check_filter(self, existing: types.Subscription, spec: SubscriptionSpec) -> None:
        """Accept another filter that delivers at least as much. Raises Unchangeable if it does not.

        Remaking the subscription would lose its messages and the permissions that were granted on it.
        """
        if not delivers_the_rest(existing.filter, spec.ignored):
            withheld = f"subscription {spec.name} withholds messages that its service needs now"
            raise Unchangeable(f"{withheld}, by its filter: {existing.filter}")

    async def _get(self, name: str) -> types.Subscription:
        request = types.GetSubscriptionRequest(subscription=self._path(name))
        found: types.Subscription = await self._call(self._subscriber.get_subscription, request)
        return found

    async def _update(self, existing: types.Subscription, wanted: types.Subscription) -> str:
        """Update what differs, and return it. Labels are only renewed: those that others added remain."""
        fields = [each for each in self._changeable if each != "labels" or wanted.labels]
        changed = _differences(existing, wanted, fields)
        if not changed:
            return ""
        update = types.UpdateSubscriptionRequest(subscription=wanted, update_mask=FieldMask(paths=changed))
        await self._call(self._subscriber.update_subscription, update)
        settings = [each for each in changed if each != "labels"]
        return f"updated {', '.join(settings)}" if settings else ""

    async def remove_subscription(self, name: str) -> None:
        request = types.DeleteSubscriptionRequest(subscription=self._path(name))
        with translated(), suppress(exceptions.NotFound):
            await self._call(self._subscriber.delete_subscription, request)

    async def sweep(self, prefix: str) -> list[str]:
        dead = [each.name.rpartition("/")[2] async for each in self.listed(prefix) if self._is_dead(each)]
        for name in dead:
            await self.remove_subscription(name)
        return dead

    async def listed(self, prefix: str) -> AsyncIterator[types.Subscription]:
        request = types.ListSubscriptionsRequest(project=f"projects/{self._subscription_project}")
        with translated():
            async for each in await self._call(self._subscriber.list_subscriptions, request):
                if each.name.startswith(self._path(prefix)):
                    yield each

    async def _call(self, method: Any, request: Any) -> Any:
        """Call once, without retries of the client: callers repeat the whole, for as long as they want."""
        return await method(request, retry=None, timeout=CALL_TIMEOUT_SECONDS)

    def _is_dead(self, subscription: types.Subscription) -> bool:
        ensured = subscription.labels.get(_ENSURED)
        return ensured is not None and int(ensured) < self.now() - DEAD_AFTER_SECONDS

    def _subscription(self, spec: SubscriptionSpec) -> types.Subscription:
        return types.Subscription(
            name=self._path(spec.name),
            topic=self._topic(spec.topic),
            ack_deadline_seconds=spec.ack_deadline_seconds,
            filter=filter_of(spec.ignored) if spec.ignored and self.filters else "",
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
        retention = min(retention_seconds(spec), self.max_retention_seconds)
        kept = {"message_retention_duration": Duration(seconds=retention)}
        if spec.expires_after_seconds is None:
            return {**kept, "expiration_policy": types.ExpirationPolicy()}  # empty: never
        return {
            **kept,
            "expiration_policy": types.ExpirationPolicy(ttl=Duration(seconds=spec.expires_after_seconds)),
            "labels": {_ENSURED: str(int(self.now()))},
        }

    def _topic(self, topic: str) -> str:
        return f"projects/{self._project}/topics/{topic}"

    def _path(self, name: str) -> str:
        return f"projects/{self._subscription_project}/subscriptions/{name}"


def _differences(
    existing: types.Subscription, wanted: types.Subscription, fields: Sequence[str]
) -> list[str]:
    """Return which of the fields differ."""
    # As dictionaries: an empty message (never) is not the same as a missing one (the default).
    there, ours = (
        MessageToDict(types.Subscription.pb(each), preserving_proto_field_name=True)
        for each in (existing, wanted)
    )
    return [field for field in fields if there.get(field) != ours.get(field)]


def _duration(seconds: float) -> Duration:
    duration = Duration()
    duration.FromMilliseconds(round(seconds * 1000))
    return duration


@asynccontextmanager
async def open_pubsub_provisioner(
    project: str, emulator: str, subscription_project: str = ""
) -> AsyncIterator[PubsubProvisioner]:
    publisher = aio_transport(PublisherGrpcAsyncIOTransport, emulator)
    subscriber = aio_transport(SubscriberGrpcAsyncIOTransport, emulator)
    try:
        provisioner = PubsubProvisioner(
            PublisherAsyncClient(transport=publisher),
            SubscriberAsyncClient(transport=subscriber),
            project,
            _CHANGEABLE if emulator else (*_CHANGEABLE, *_NOT_IN_THE_EMULATOR),
            subscription_project,
        )
        if emulator:
            # It accepts filters, and ignores them; it rejects a retention of more than 7 days.
            provisioner.filters = False
            provisioner.max_retention_seconds = MESSAGE_RETENTION_SECONDS
        yield provisioner
    finally:
        await publisher.close()
        await subscriber.close()
