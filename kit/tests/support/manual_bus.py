"""A bus controlled by the test: what is delivered, when pulls end, and how publishing fails."""

import asyncio
from collections.abc import Callable, Sequence

from sagakit.bus import Delivery, Message
from sagakit.errors import Poison, Unavailable


class ManualDelivery:
    """A delivered message that records how it was settled."""

    def __init__(self, message: Message, attempt: int) -> None:
        self.message = message
        self.attempt = attempt
        self.settled: list[str] = []

    def ack(self) -> None:
        self.settled.append("ack")

    def nack(self) -> None:
        self.settled.append("nack")


class ManualPull:
    """An open pull."""

    def __init__(self, receive: Callable[[Delivery], None]) -> None:
        self._receive = receive
        self._over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.closed = False

    async def ended(self) -> None:
        await asyncio.shield(self._over)

    async def close(self) -> None:
        self.closed = True
        self.end()

    def end(self, error: Exception | None = None) -> None:
        if not self._over.done():
            self._over.set_exception(error) if error else self._over.set_result(None)

    def deliver(self, message: Message, attempt: int = 1) -> ManualDelivery:
        delivery = ManualDelivery(message, attempt)
        self._receive(delivery)
        return delivery


class ManualBus:
    """Accepts what is published, unless the test sets a failure."""

    def __init__(self) -> None:
        self.published: list[tuple[str, list[Message]]] = []
        self.pulls: dict[str, list[ManualPull]] = {}
        self.attempts = 0
        self.unavailable = False
        self.problem: str | None = None
        """Of every subscription."""
        self.unpublishable: Callable[[Message], bool] = lambda _: False
        self.open = asyncio.Event()
        """Publishing waits while this is not set."""
        self.open.set()

    async def publish(self, topic: str, messages: Sequence[Message]) -> None:
        self.attempts += 1
        await self.open.wait()
        await asyncio.sleep(0)
        if self.unavailable:
            raise Unavailable("the broker is unavailable")
        if any(map(self.unpublishable, messages)):
            raise Poison("unpublishable")
        self.published.append((topic, list(messages)))

    def subscribe(self, name: str, receive: Callable[[Delivery], None], max_outstanding: int) -> ManualPull:
        pull = ManualPull(receive)
        self.pulls.setdefault(name, []).append(pull)
        return pull

    async def subscription_problem(self, name: str) -> str | None:
        if self.unavailable:
            raise Unavailable("the broker is unavailable")
        return self.problem

    @property
    def messages(self) -> list[Message]:
        """All published messages, of all topics."""
        return [message for _, batch in self.published for message in batch]

    @property
    def eventids(self) -> list[str]:
        return [message.attributes["eventid"] for message in self.messages]
