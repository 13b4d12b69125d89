"""The seam to the message broker: at least once, in any order, to every subscription of a topic."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol


def subscription_name(service: str, topic: str) -> str:
    """Return the name of a service's one subscription to a topic, shared by its replicas."""
    return f"{service}-service.{topic}"


@dataclass(frozen=True, slots=True)
class Message:
    """Bytes and text attributes, as they travel."""

    data: bytes
    attributes: Mapping[str, str]


class Delivery(Protocol):
    """A message in hand; it comes again unless it is acknowledged while the lease lasts."""

    @property
    def message(self) -> Message: ...

    @property
    def attempt(self) -> int:
        """1 on the first delivery, as far as the broker knows."""

    def ack(self) -> None:
        """Done with: best effort, so it may come again all the same. Never blocks."""

    def nack(self) -> None:
        """Send it again, after the subscription's pause. Never blocks."""


class Subscription(Protocol):
    """A live pull."""

    async def ended(self) -> None:
        """Return once the pull was closed; raise Unavailable where it ended by itself."""

    async def close(self) -> None:
        """Stop pulling. What is in hand may still be acknowledged; what is not comes again."""


class Bus(Protocol):
    """Publishes and pulls."""

    async def publish(self, topic: str, messages: Sequence[Message]) -> None:
        """Return once the broker has taken all of them; Unavailable: some may have been taken."""

    def subscribe(self, name: str, receive: Callable[[Delivery], None], max_outstanding: int) -> Subscription:
        """Hand deliveries to `receive`, on the event loop, at most `max_outstanding` unsettled at a time."""


@dataclass(frozen=True, slots=True)
class SubscriptionSpec:
    """How a subscription treats what is not acknowledged."""

    name: str
    topic: str
    dead_letter_topic: str | None
    """Where a message goes after `max_delivery_attempts`; None: it is delivered for ever."""
    max_delivery_attempts: int = 100
    min_retry_seconds: float = 1.0
    max_retry_seconds: float = 60.0
    ack_deadline_seconds: int = 30
    expires_after_seconds: int | None = None
    """One process's own, which nobody misses once it was not pulled for so long. None: there for ever."""


class Provisioner(Protocol):
    """Makes topics and subscriptions; everything is safe to repeat."""

    async def ensure_topic(self, topic: str) -> None: ...

    async def ensure_subscription(self, spec: SubscriptionSpec) -> None:
        """There is such a subscription, with these settings. One that expires is good for another while."""

    async def remove_subscription(self, name: str) -> None:
        """There is no such subscription, and a pull of it ends by itself, sooner or later."""

    async def sweep(self, prefix: str) -> list[str]:
        """Remove the expiring subscriptions of that prefix whose processes died; returns their names."""


@dataclass(frozen=True, slots=True)
class PulledMessage:
    """A message that was taken out of a subscription, and what the broker calls it meanwhile."""

    id: str
    message: Message


class PullSubscription(Protocol):
    """A subscription that is looked through by hand, by operator's tools. Unavailable: the broker is away."""

    async def pull(self, limit: int) -> list[PulledMessage]:
        """Some of the messages that wait, kept from others for half a minute; none: none waits."""

    async def acknowledge(self, messages: Sequence[PulledMessage]) -> None:
        """They will not come again."""

    async def release(self, messages: Sequence[PulledMessage]) -> None:
        """They wait again, as they did before."""
