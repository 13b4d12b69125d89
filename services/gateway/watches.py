"""The orders that clients of this process follow: each is looked up once and then kept up by what is said."""

import asyncio
import contextvars
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import structlog
from opentelemetry import context

from contract.tickets import RESERVE_FAILED, TicketMessage
from sagakit.errors import Unavailable
from sagakit.runtime import Backoff, Runtime
from services.gateway.behalf import Bearer
from services.gateway.moves import ENDED, Move, Records, heard

log = structlog.get_logger()

Look = Callable[[str, Bearer], Awaitable[Records]]
"""Reads what is on record about an order, on behalf of a caller; Unavailable: try again."""

PAUSES = Backoff(first_seconds=0.05, cap_seconds=5.0, attempts=0)
"""Between looks at an order that moves without saying so, or that could not be looked at."""


class Watch:
    """One order, for as long as somebody follows it; any number may."""

    def __init__(self, orderid: str, look: Look, runtime: Runtime) -> None:
        self.orderid = orderid
        self._look = look
        self._runtime = runtime
        self._bell = asyncio.Event()
        self._changed = asyncio.Event()
        self._looked = False
        self.followers: list[Bearer] = []
        """It is looked at on behalf of the one who came last."""
        self.moves: list[Move] = []
        """In the order they became known here; there are only so many in an order's life."""
        self.status: str | None = None
        """The ticket's, as far as known."""
        self.at_rest = False
        """Whether nothing more will happen."""
        self.closed = False
        """Whether this process is about to stop, and keeps up with nothing any more."""

    @property
    def ended(self) -> bool:
        """Whether the ticket is decided; the services may still be busy with what follows from it."""
        return self.status in ENDED

    async def until(self, holds: Callable[[], bool]) -> None:
        """Return once it holds; it is asked whenever something changes."""
        while not holds():
            await self._changed.wait()

    def hear(
        self, service: str, ticket: TicketMessage, time: str, again: bool, trace_id: str | None = None
    ) -> None:
        """What a service says of the order just now."""
        move = None if again or not self._looked else heard(service, ticket, time, trace_id)
        if move is None:
            self.ring()
            return
        self._add([move])
        if service == "purchase" and move.status in ENDED:
            self.status = move.status
        if self._moves_silently:
            self.ring()
        self._tell()

    def close(self) -> None:
        """Whoever waits is to go elsewhere."""
        self.closed = True
        self._tell()

    def ring(self) -> None:
        """Something may be on record that was not heard."""
        self._bell.set()

    async def run(self) -> None:
        """Keep up with the order until it is at rest, or cancelled."""
        attempt = 0
        while not self.at_rest:
            attempt = 0 if self._bell.is_set() else attempt + 1
            self._bell.clear()
            complete = await self._catch_up()
            pause = None
            if not complete or self._moves_silently:
                pause = self._runtime.random.uniform(0.5, 1) * PAUSES.max_delay(attempt)
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._bell.wait()

    async def _catch_up(self) -> bool:
        """Look; whether everybody could be asked."""
        try:
            records = await self._look(self.orderid, self.followers[-1])
        except Unavailable as error:
            log.warning("order refresh failed", orderid=self.orderid, error=str(error))
            return False
        self._looked = True
        self._add(records.moves())
        self.status = self.status if self.ended else records.status
        self.at_rest = records.at_rest
        self._tell()
        return records.complete

    @property
    def _moves_silently(self) -> bool:
        """Nobody publishes what is sold, settled, released or given back, nor that a refusal was noted."""
        return self.ended or any(
            (move.service, move.status) == ("stock", RESERVE_FAILED) for move in self.moves
        )

    def _add(self, moves: list[Move]) -> None:
        known = {move.word for move in self.moves}
        self.moves += [move for move in moves if move.word not in known]

    def _tell(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


class Watches:
    """The orders that are followed at the moment."""

    def __init__(self, look: Look, runtime: Runtime) -> None:
        self._look = look
        self._runtime = runtime
        self._watches: dict[str, Watch] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._closed = False

    @asynccontextmanager
    async def following(self, orderid: str, bearer: Bearer) -> AsyncIterator[Watch]:
        """The order's watch, which is kept up meanwhile. Whether the caller may see it was asked before."""
        watch = self._watches.get(orderid) or self._begin(orderid)
        watch.followers.append(bearer)
        try:
            yield watch
        finally:
            watch.followers.remove(bearer)
            if not watch.followers:
                del self._watches[orderid]
                self._tasks.pop(orderid).cancel()

    def hear(
        self, service: str, ticket: TicketMessage, time: str, again: bool, trace_id: str | None = None
    ) -> None:
        """What a service says of an order; nobody may be following it."""
        watch = self._watches.get(ticket.orderid)
        if watch is not None:
            watch.hear(service, ticket, time, again, trace_id)

    def catch_up(self) -> None:
        """Something may have been said that was not heard."""
        for watch in self._watches.values():
            watch.ring()

    def close(self) -> None:
        """Whoever waits is to go elsewhere: nothing is kept up here any more."""
        self._closed = True
        for watch in self._watches.values():
            watch.close()

    def _begin(self, orderid: str) -> Watch:
        watch = self._watches[orderid] = Watch(orderid, self._look, self._runtime)
        watch.closed = self._closed
        # In a context of its own, but for the trace: it outlives the request that began it, and its deadline.
        own = contextvars.Context()
        own.run(context.attach, context.get_current())
        task = asyncio.create_task(watch.run(), context=own)
        task.add_done_callback(lambda done: _over(watch, done))
        self._tasks[orderid] = task
        return watch


def _over(watch: Watch, done: "asyncio.Task[None]") -> None:
    """Nobody is to wait for what a defect has ended: whoever follows it is sent away, and comes back."""
    error = None if done.cancelled() else done.exception()
    if error is not None:
        log.error("watch failed", orderid=watch.orderid, exc_info=error)
        watch.close()
