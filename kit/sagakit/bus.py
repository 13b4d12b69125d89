"""The interface to the broker: delivers to each subscription of a topic, at least once, in any order."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from sagakit.ignored import Ignored

MAX_ATTRIBUTE_BYTES = 1_024
"""Of an attribute's value, in UTF-8 (https://cloud.google.com/pubsub/quotas#resource_limits)."""


def subscription_name(service: str, topic: str) -> str:
    """Return the name of a service's one subscription to a topic, shared by its replicas."""
    return f"{service}-service.{topic}"


@dataclass(frozen=True, slots=True)
class Message:
    """A message as it is transported: bytes, and text attributes."""

    data: bytes
    attributes: Mapping[str, str]


class Delivery(Protocol):
    """A received message. It is redelivered unless it is acknowledged before its lease ends.

    The bus extends the lease while the process runs; it ends within seconds of the process's end. On Pub/Sub
    it is extended for at most 300 s (`leases.MAX_LEASE_SECONDS`): a handler that takes longer hangs.
    """

    @property
    def message(self) -> Message: ...

    @property
    def attempt(self) -> int:
        """Number of this delivery, from 1, as far as the broker counts it."""

    def ack(self) -> None:
        """Acknowledge the message. Best effort: it may be redelivered all the same. Never blocks."""

    def nack(self) -> None:
        """Have the message redelivered, after the subscription's retry delay. Never blocks."""


class Subscription(Protocol):
    """An open pull of a subscription."""

    async def ended(self) -> None:
        """Return when the pull is closed. Raises Unavailable if it ends for another reason."""

    async def close(self) -> None:
        """Stop pulling. Deliveries in flight may still be settled; those that are not are redelivered."""


class Bus(Protocol):
    """Publishes messages and pulls subscriptions."""

    async def publish(self, topic: str, messages: Sequence[Message]) -> None:
        """Return when the broker has accepted all messages: they will be delivered.

        Raises Unavailable if it cannot be reached; it may have accepted some of them. Raises Poison if
        it never accepts one of them; then it has accepted none.
        """

    def subscribe(self, name: str, receive: Callable[[Delivery], None], max_outstanding: int) -> Subscription:
        """Pull the subscription: call `receive` on the event loop with each delivery.

        At most `max_outstanding` deliveries are unsettled at a time. Errors end the pull (`ended`).
        Raises Unavailable if it cannot be opened.
        """

    async def subscription_problem(self, name: str) -> str | None:
        """Return why the subscription gets no messages: it does not exist, or its topic was deleted.

        None: it gets what is published. Raises Unavailable if the broker cannot be reached.
        """


@dataclass(frozen=True, slots=True)
class SubscriptionSpec:
    """Settings of a subscription: redelivery, leases, dead letters and expiry."""

    name: str
    topic: str
    dead_letter_topic: str | None
    """Receives messages after `max_delivery_attempts`. None: they are redelivered for ever."""
    max_delivery_attempts: int = 100
    """Deliveries of a message before it goes to the dead-letter topic."""
    min_retry_seconds: float = 1.0
    """Delay in seconds before the first redelivery of a message; it grows with each further one."""
    max_retry_seconds: float = 60.0
    """Upper limit of that delay, in seconds."""
    ack_deadline_seconds: int = 30
    """Length of a delivery's lease, in seconds. The bus extends leases while the process runs.

    On Pub/Sub, the leases of a pull have 10 s (`leases.LEASE_SECONDS`) instead: those of its stream."""
    expires_after_seconds: int | None = None
    """Delete the subscription after this many seconds without a pull (for ephemeral ones). None: never."""
    ignored: Ignored | None = None
    """Messages that its receiver ignores: a broker that can filter need not deliver them."""


class Provisioner(Protocol):
    """Creates and deletes topics and subscriptions. Every method is idempotent.

    Raises Unavailable if the broker cannot be reached.
    """

    async def ensure_topic(self, topic: str) -> None:
        """Create the topic if it does not exist."""

    async def ensure_subscription(self, spec: SubscriptionSpec) -> str:
        """Create the subscription, or give it these settings. Renews one that expires.

        One whose settings cannot be changed, or whose topic was deleted, is deleted and created again: its
        messages are lost. One that delivers messages of `ignored` is left as it is. Return what was changed
        and why, in a few words; "" if nothing was. Raises Unchangeable if the subscription withholds
        messages that are not in `ignored`: it must be deleted first.
        """

    async def remove_subscription(self, name: str) -> None:
        """Delete the subscription if it exists. Open pulls on it end eventually."""

    async def sweep(self, prefix: str) -> list[str]:
        """Delete the subscriptions with that prefix that have expired, and return their names."""


@dataclass(frozen=True, slots=True)
class PulledMessage:
    """A message pulled by hand, and the broker's id of its lease."""

    id: str
    message: Message


PULL_LEASE_SECONDS = 30
"""Lease of a message that was pulled by hand."""


class PullSubscription(Protocol):
    """A subscription pulled by hand, for operator tools.

    Raises Unavailable if the broker cannot be reached.
    """

    async def pull(self, limit: int) -> list[PulledMessage]:
        """Return up to `limit` messages, leased for PULL_LEASE_SECONDS; none if the subscription is empty."""

    async def acknowledge(self, messages: Sequence[PulledMessage]) -> None:
        """Remove the messages from the subscription. One whose lease has ended may stay."""

    async def extend(self, messages: Sequence[PulledMessage]) -> None:
        """Lease the messages for PULL_LEASE_SECONDS from now, unless their lease has ended."""

    async def release(self, messages: Sequence[PulledMessage]) -> None:
        """Release the messages for redelivery to any puller; their delivery count is unchanged."""
