"""The connections of a simulated process: a clogged one lets nothing through until it is released."""

import asyncio
from enum import StrEnum

from sagakit.errors import Unavailable

CALL_TIMEOUT_SECONDS = 10.0
"""How long a call waits for a clogged edge before it fails, as calls have a deadline."""


class Edge(StrEnum):
    """Between a process and one of those that it talks to."""

    STORE = "store"
    BROKER = "broker"
    CALLERS = "callers"


class Edges:
    """Those of one process. They outlive its restarts."""

    def __init__(self) -> None:
        self._clogged: dict[Edge, asyncio.Event] = {}

    def is_clogged(self, edge: Edge) -> bool:
        """Whether nothing passes."""
        return edge in self._clogged

    def clog(self, edge: Edge) -> None:
        """Let nothing through from now on."""
        self._clogged.setdefault(edge, asyncio.Event())

    def release(self, edge: Edge) -> None:
        """Let everything through that waits, and what comes later."""
        if released := self._clogged.pop(edge, None):
            released.set()

    async def passed(self, edge: Edge) -> None:
        """Return once a request, or a response, has passed. Raises Unavailable after the timeout."""
        released = self._clogged.get(edge)
        if released is None:
            return
        try:
            await asyncio.wait_for(released.wait(), CALL_TIMEOUT_SECONDS)
        except TimeoutError:
            raise Unavailable(f"no connection to the {edge}") from None
