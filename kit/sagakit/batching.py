"""Natural batching: calls that become ready while one of their kind is in flight share the next one.

A call costs the same whether it carries one transaction or ten. A lone call never waits: it is made at once,
as without batching.
"""

import asyncio
import contextvars
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Self, TypeVar

from sagakit import deadline
from sagakit.errors import OutcomeUnknown, SagaError, Unavailable
from sagakit.observer import Observer
from sagakit.tables import MAX_MUTATIONS, Insert, Key, Mutation, Row, Tables, Update

Request = TypeVar("Request")
Response = TypeVar("Response")

MAX_SECONDS = 5.0
"""Time for which a call waits, first to be sent and then for its answer; as long as a call may take alone."""
URGENT_SECONDS = 0.5
"""A call whose caller has less time left does not wait for others."""


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """What one call of the database may carry, and how many calls of a kind are in flight."""

    in_flight: int = 1
    """Lookups, and likewise commits, at a time: further ones wait, and share the next call."""
    keys: int = 1000
    """Keys in a lookup (https://cloud.google.com/datastore/docs/concepts/limits)."""
    transactions: int = 25
    """Transactions in a commit: if one conflicts, all are repeated one by one."""
    mutations: int = MAX_MUTATIONS
    """Entities written by a commit."""
    bytes: int = 1_000_000
    """Text and bytes in a commit; a request may have ten times as many."""


class BatchedTables:
    """`Tables` whose lookups and commits share calls. Keeps each promise of `Tables` to each caller.

    A commit carries transactions that have no key in common. One that fails, because of a conflict or an
    entity that cannot be stored, was not applied: its transactions are repeated one by one, so that none
    fails because of another. One that the database did not answer is an OutcomeUnknown for each of them.
    """

    def __init__(self, tables: Tables, limits: BatchLimits, observer: Observer) -> None:
        self.due, self.page, self.expire = tables.due, tables.page, tables.expire
        self._lookups = _Lookups(tables, limits, observer)
        self._commits = _Commits(tables, limits, observer)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        """End the calls that are in flight; nobody should wait for them any more."""
        await asyncio.gather(self._lookups.close(), self._commits.close())

    async def lookup(self, keys: Sequence[Key]) -> dict[Key, Row]:
        """See `Tables.lookup`. What is returned was read after this call began."""
        return await self._lookups.call(keys)

    async def commit(self, mutations: Sequence[Mutation]) -> None:
        """See `Tables.commit`. Raises Unavailable, too, if it could not be sent in time."""
        await self._commits.call(mutations)


@dataclass(eq=False, slots=True)
class _Waiting(Generic[Request, Response]):
    """A call that waits until it is sent with others, and then for its answer."""

    request: Request
    answer: "asyncio.Future[Response]"
    sent: bool = False

    def succeed(self, response: Response) -> None:
        if not self.answer.done():
            self.answer.set_result(response)

    def fail(self, error: Exception) -> None:
        if not self.answer.done():
            self.answer.set_exception(error)


class _Calls(Generic[Request, Response]):
    """Calls of one kind: at most so many in flight, further ones in a queue."""

    def __init__(self, in_flight: int) -> None:
        self._in_flight = in_flight
        self._running = 0
        self._queue: deque[_Waiting[Request, Response]] = deque()
        self._batches: set[asyncio.Task[None]] = set()
        # A batch belongs to none of its callers: neither to the deadline nor to the trace of one.
        self._context = contextvars.copy_context()

    async def alone(self, request: Request) -> Response:
        """Make a call for one."""
        raise NotImplementedError

    async def together(self, requests: Sequence[Request]) -> Sequence[Response]:
        """Make one call for several, and return their responses."""
        raise NotImplementedError

    def unanswered(self, why: str) -> SagaError:
        """Return the error of a call that was sent and not answered."""
        raise NotImplementedError

    def room(self) -> Callable[[Request], bool]:
        """Return a function that says whether a call has room for one more request, if it has any."""
        raise NotImplementedError

    async def call(self, request: Request) -> Response:
        seconds = deadline.remaining(MAX_SECONDS)
        if self._running < self._in_flight or seconds < URGENT_SECONDS:
            self._running += 1
            try:
                return await self.alone(request)
            finally:
                self._end_one()
        waiting = _Waiting[Request, Response](request, asyncio.get_running_loop().create_future())
        self._queue.append(waiting)
        try:
            async with asyncio.timeout(seconds):
                return await waiting.answer
        except TimeoutError:
            error = self.unanswered if waiting.sent else Unavailable
            raise error("the database did not answer in time") from None
        finally:
            if not waiting.sent:
                self._queue.remove(waiting)

    async def close(self) -> None:
        for batch in self._batches:
            batch.cancel()
        await asyncio.gather(*self._batches, return_exceptions=True)

    def _end_one(self) -> None:
        self._running -= 1
        while self._queue and self._running < self._in_flight:
            self._running += 1
            task = asyncio.create_task(self._run(self._take()), context=self._context.copy())
            self._batches.add(task)
            task.add_done_callback(self._batches.discard)

    def _take(self) -> list[_Waiting[Request, Response]]:
        """Take the oldest request from the queue, and all others that fit into one call with it."""
        fits = self.room()
        taken = [waiting for waiting in self._queue if fits(waiting.request)]
        for waiting in taken:
            waiting.sent = True
        self._queue = deque(waiting for waiting in self._queue if not waiting.sent)
        return taken

    async def _run(self, batch: Sequence[_Waiting[Request, Response]]) -> None:
        try:
            await (self._send(batch) if len(batch) > 1 else self._send_one(*batch))
        except asyncio.CancelledError:
            for waiting in batch:
                waiting.fail(self.unanswered("the call was ended"))
            raise
        finally:
            self._end_one()

    async def _send(self, batch: Sequence[_Waiting[Request, Response]]) -> None:
        try:
            responses = await self.together([waiting.request for waiting in batch])
        except (Unavailable, OutcomeUnknown) as error:
            for waiting in batch:
                waiting.fail(type(error)(*error.args))
        except Exception:  # noqa: BLE001  that of one of them: its own call raises it
            await asyncio.gather(*map(self._send_one, batch))
        else:
            for waiting, response in zip(batch, responses, strict=True):
                waiting.succeed(response)

    async def _send_one(self, waiting: _Waiting[Request, Response]) -> None:
        """Make the call of one, whose batch failed and was applied for none."""
        if waiting.answer.done():
            return
        try:
            waiting.succeed(await self.alone(waiting.request))
        except Exception as error:  # noqa: BLE001  raised where the caller waits
            waiting.fail(error)


class _Lookups(_Calls[Sequence[Key], dict[Key, Row]]):
    def __init__(self, tables: Tables, limits: BatchLimits, observer: Observer) -> None:
        super().__init__(limits.in_flight)
        self._tables = tables
        self._limits = limits
        self._observer = observer

    async def alone(self, request: Sequence[Key]) -> dict[Key, Row]:
        self._observer.looked_up(len(request))
        return await self._tables.lookup(request)

    async def together(self, requests: Sequence[Sequence[Key]]) -> Sequence[dict[Key, Row]]:
        keys = dict.fromkeys(key for request in requests for key in request)
        found = await self.alone([*keys])
        return [{key: found[key] for key in request if key in found} for request in requests]

    def unanswered(self, why: str) -> SagaError:
        return Unavailable(why)

    def room(self) -> Callable[[Sequence[Key]], bool]:
        keys = 0

        def fits(request: Sequence[Key]) -> bool:
            nonlocal keys
            if keys and keys + len(request) > self._limits.keys:
                return False
            keys += len(request)
            return True

        return fits


class _Commits(_Calls[Sequence[Mutation], None]):
    def __init__(self, tables: Tables, limits: BatchLimits, observer: Observer) -> None:
        super().__init__(limits.in_flight)
        self._tables = tables
        self._limits = limits
        self._observer = observer

    async def alone(self, request: Sequence[Mutation]) -> None:
        self._observer.sent_commit(1)
        await self._tables.commit(request)

    async def together(self, requests: Sequence[Sequence[Mutation]]) -> Sequence[None]:
        self._observer.sent_commit(len(requests))
        await self._tables.commit([mutation for request in requests for mutation in request])
        return [None] * len(requests)

    def unanswered(self, why: str) -> SagaError:
        return OutcomeUnknown(why)

    def room(self) -> Callable[[Sequence[Mutation]], bool]:
        keys: set[Key] = set()
        transactions = size = 0

        def fits(request: Sequence[Mutation]) -> bool:
            nonlocal transactions, size
            own = {mutation.key for mutation in request}
            own_size = sum(map(_size, request))
            limits = self._limits
            if transactions and (
                transactions == limits.transactions
                or len(keys) + len(own) > limits.mutations
                or size + own_size > limits.bytes
                or not keys.isdisjoint(own)
            ):
                return False
            keys.update(own)
            transactions, size = transactions + 1, size + own_size
            return True

        return fits


def _size(value: Any) -> int:
    """Return about how many bytes a mutation or a property takes."""
    match value:
        case str() | bytes():
            return len(value)
        case Mapping():
            return sum(len(name) + _size(each) for name, each in value.items())
        case list():
            return sum(map(_size, value))
        case Insert() | Update():
            return _size(value.entity)
    return 8
