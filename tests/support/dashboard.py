"""Sources of the dashboard that count what is read of them."""

from sagakit.bus import Message, PulledMessage
from sagakit.errors import Unavailable
from sagakit.testing.tables import MemoryTables


class CountedTables(MemoryTables):
    """Tables that count queries, and can be unavailable."""

    unavailable = False
    queries = 0

    async def due(self, *args):
        self.queries += 1
        if self.unavailable:
            raise Unavailable("no tables")
        return await super().due(*args)

    async def page(self, *args):
        self.queries += 1
        return await super().page(*args)


class DeadLetters:
    """A subscription with dead letters."""

    def __init__(self, count):
        self.waiting = [PulledMessage(str(number), Message(b"", {})) for number in range(count)]

    pulls = 0

    async def pull(self, limit):
        self.pulls += 1
        pulled, self.waiting = self.waiting[:limit], self.waiting[limit:]
        return pulled

    async def release(self, pulled):
        self.waiting = [*pulled, *self.waiting]
