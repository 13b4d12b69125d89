"""A subscription pulled by hand, in memory: messages whose lease has ended can be pulled again."""

from collections.abc import Sequence

from sagakit.bus import PULL_LEASE_SECONDS, Message, PulledMessage
from sagakit.errors import Poison, Unavailable


class LeasedMessages:
    """A PullSubscription, and a bus that keeps what is published. Its clock moves with every call."""

    def __init__(self, messages: Sequence[Message], seconds_per_call: float = 0.01) -> None:
        self.messages = {str(number): message for number, message in enumerate(messages)}
        self.leases: dict[str, float] = {}
        self.published: list[tuple[str, Message]] = []
        self.calls = 0
        self.available_calls: float = float("inf")
        self.rejected: set[str] = set()
        """Event ids that the broker rejects."""
        self.returning = False
        """Whether what is published is a dead letter again at once."""
        self._seconds_per_call = seconds_per_call
        self._now = 0.0

    def monotonic(self) -> float:
        return self._now

    @property
    def eventids(self) -> list[str]:
        return [message.attributes["eventid"] for message in self.messages.values()]

    async def pull(self, limit: int) -> list[PulledMessage]:
        now = self._call()
        free = [each for each in self.messages if self.leases.get(each, 0) <= now][:limit]
        self.leases |= dict.fromkeys(free, now + PULL_LEASE_SECONDS)
        return [PulledMessage(f"{each}@{self.leases[each]}", self.messages[each]) for each in free]

    async def acknowledge(self, messages: Sequence[PulledMessage]) -> None:
        self._call()
        for name in self._leased(messages):
            del self.messages[name], self.leases[name]

    async def extend(self, messages: Sequence[PulledMessage]) -> None:
        self._call()
        self.leases |= dict.fromkeys(self._leased(messages), self._now + PULL_LEASE_SECONDS)

    async def release(self, messages: Sequence[PulledMessage]) -> None:
        self._call()
        for name in self._leased(messages):
            del self.leases[name]

    async def publish(self, topic: str, messages: Sequence[Message]) -> None:
        self._call()
        for message in messages:
            if message.attributes["eventid"] in self.rejected:
                raise Poison("unpublishable: too many attributes")
        for message in messages:
            self.published.append((topic, message))
            if self.returning:
                name = "dead_letter_subscription"
                self.messages[f"again-{len(self.published)}"] = Message(
                    message.data, {**message.attributes, name: f"purchase-service.{topic}"}
                )

    def _leased(self, messages: Sequence[PulledMessage]) -> list[str]:
        names = [each.id.partition("@")[0] for each in messages]
        return [name for name in names if self.leases.get(name, 0) > self._now]

    def _call(self) -> float:
        if self.calls >= self.available_calls:
            raise Unavailable("the broker is unavailable")
        self.calls += 1
        self._now += self._seconds_per_call
        return self._now
