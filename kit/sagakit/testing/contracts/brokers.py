"""Material of the contract suites of brokers: a broker of a test's own, and recording listeners."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from typing import Any

from sagakit.bus import Bus, Delivery, Message, Provisioner, PullSubscription, SubscriptionSpec
from sagakit.testing.eventually import eventually


class BrokerUnderTest:
    """A broker of the test's own, without topics. Subclass it, and override everything but `provision`."""

    ignores_first_retry_delay = False
    """Whether the first redelivery comes at once, as from Pub/Sub's emulator."""

    @property
    def lease_seconds(self) -> int:
        """The broker's shortest lease: how long a message is blocked if its holder dies."""
        raise NotImplementedError

    def open(self) -> AbstractAsyncContextManager[Bus]:
        """Open the bus, as each process does."""
        raise NotImplementedError

    def provisioner(self) -> AbstractAsyncContextManager[Provisioner]:
        """Open the provisioner."""
        raise NotImplementedError

    def pull_subscription(self, name: str) -> AbstractAsyncContextManager[PullSubscription]:
        """Open a subscription for pulling by hand."""
        raise NotImplementedError

    async def delete_topic(self, topic: str) -> None:
        """Delete a topic, as an operator does by hand; its subscriptions remain."""
        raise NotImplementedError

    async def leave_behind(self, spec: SubscriptionSpec) -> None:
        """Create an expiring subscription whose process died long ago."""
        raise NotImplementedError

    async def provision(self, topic: str, *subscriptions: str, **settings: Any) -> None:
        """Create subscriptions, with short retry delays and leases unless `settings` differ."""
        short: dict[str, Any] = {
            "min_retry_seconds": 0.2,
            "max_retry_seconds": 1,
            "ack_deadline_seconds": self.lease_seconds,
        }
        async with self.provisioner() as provisioner:
            await provisioner.ensure_topic(topic)
            for name in subscriptions:
                spec = SubscriptionSpec(name, topic, None)
                await provisioner.ensure_subscription(replace(spec, **{**short, **settings}))


def ack(delivery: Delivery) -> None:
    """Acknowledge a delivery."""
    delivery.ack()


def nack(delivery: Delivery) -> None:
    """Have a delivery repeated."""
    delivery.nack()


def keep(_: Delivery) -> None:
    """Settle nothing: the message stays in flight."""


class Listener:
    """Records deliveries and their times, and settles each with `settle`."""

    def __init__(self, settle: Callable[[Delivery], None] = ack) -> None:
        self.deliveries: list[Delivery] = []
        self.times: list[float] = []
        self.settle = settle

    def __call__(self, delivery: Delivery) -> None:
        self.deliveries.append(delivery)
        self.times.append(asyncio.get_running_loop().time())
        self.settle(delivery)

    @property
    def bodies(self) -> list[str]:
        """The messages' data, as text."""
        return [delivery.message.data.decode() for delivery in self.deliveries]

    @property
    def attempts(self) -> list[int]:
        """The numbers of the deliveries."""
        return [delivery.attempt for delivery in self.deliveries]

    async def has(self, count: int, seconds: float = 10) -> list[str]:
        """Wait until `count` messages were delivered, and return their bodies."""
        await eventually(lambda: len(self.deliveries) >= count, seconds)
        return self.bodies

    async def stays_silent(self, seconds: float) -> bool:
        """Return whether nothing is delivered for `seconds`."""
        before = len(self.deliveries)
        await asyncio.sleep(seconds)
        return len(self.deliveries) == before


def a_message(body: str = "hello", **attributes: str) -> Message:
    """Return a message."""
    return Message(body.encode(), attributes)
