"""Calls of one kind that share the next one if they become ready together, or while one is in flight."""

import asyncio
import contextvars
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from sagakit import deadline
from sagakit.errors import SagaError, Unavailable

Request = TypeVar("Request")
Response = TypeVar("Response")

MAX_SECONDS = 5.0
"""Time for which a call waits, first to be sent and then for its answer; as long as a call may take alone."""
URGENT_SECONDS = 0.5
"""A call whose caller has less time left does not wait for others."""
MAX_LOOKED_AT = 64
"""Requests of a queue that are tried for one call, so that a long queue costs no more than a short one."""
PATIENCE_SECONDS = 0.25
"""Time for which a request that can wait does wait for a call that is made for another one."""


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
            self.answer.exception()  # So that it is not logged if its caller has ended.


class SharedCalls(Generic[Request, Response]):
    """Calls of one kind: at most `in_flight` at a time; those that wait meanwhile share the next one."""

    def __init__(self, in_flight: int) -> None:
        self._in_flight = in_flight
        self._running = 0
        self._queue: deque[_Waiting[Request, Response]] = deque()
        self._patient: deque[_Waiting[Request, Response]] = deque()
        """Requests that wait for a call that is made for another one."""
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
        """Return a function that decides whether a call has room for one more request, if it has any."""
        raise NotImplementedError

    def can_wait(self, request: Request) -> bool:  # noqa: ARG002  a subclass may look at it
        """Return whether a request may wait for a call that is made for another one."""
        return False

    async def call(self, request: Request) -> Response:
        seconds = deadline.remaining(MAX_SECONDS)
        if seconds < URGENT_SECONDS:
            return await self._made(request)
        answer: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
        waiting = _Waiting(request, answer)
        try:
            if self.can_wait(request):
                self._patient.append(waiting)
                await asyncio.wait((answer,), timeout=PATIENCE_SECONDS)
                if not waiting.sent:
                    self._patient.remove(waiting)
                    self._queue.appendleft(waiting)
            else:
                self._queue.append(waiting)
                await asyncio.sleep(0)  # Whatever is ready at this moment joins.
            if not waiting.sent and self._running < self._in_flight:
                batch = self._take()
                if batch == [waiting]:
                    return await self._made(request)
                self._start(batch)
            async with asyncio.timeout(seconds):
                return await answer
        except TimeoutError:
            error = self.unanswered if waiting.sent else Unavailable
            raise error("the database did not answer in time") from None
        finally:
            if not waiting.sent:
                (self._queue if waiting in self._queue else self._patient).remove(waiting)

    async def close(self) -> None:
        while self._batches:  # The end of one starts the next.
            for batch in self._batches:
                batch.cancel()
            await asyncio.gather(*self._batches, return_exceptions=True)

    async def _made(self, request: Request) -> Response:
        self._running += 1
        try:
            return await self.alone(request)
        finally:
            self._end_one()

    def _start(self, batch: Sequence[_Waiting[Request, Response]]) -> None:
        self._running += 1
        task = asyncio.create_task(self._run(batch), context=self._context.copy())
        self._batches.add(task)
        task.add_done_callback(self._batches.discard)

    def _end_one(self) -> None:
        self._running -= 1
        while self._running < self._in_flight and self._queue:
            self._start(self._take())

    def _take(self) -> list[_Waiting[Request, Response]]:
        """Take the oldest request that cannot wait, and those that fit into one call with it."""
        if len(self._queue) + len(self._patient) == 1:
            taken = [self._queue.popleft()]
        else:
            fits = self.room()
            taken = [*_taken(self._queue, fits), *_taken(self._patient, fits)]
        for waiting in taken:
            waiting.sent = True
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
        except Unavailable as error:
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


def _taken(
    queue: deque[_Waiting[Request, Response]], fits: Callable[[Request], bool]
) -> list[_Waiting[Request, Response]]:
    """Remove from the queue what fits; the others keep their places."""
    taken: list[_Waiting[Request, Response]] = []
    left: list[_Waiting[Request, Response]] = []
    for _ in range(min(len(queue), MAX_LOOKED_AT)):
        waiting = queue.popleft()
        (taken if fits(waiting.request) else left).append(waiting)
    queue.extendleft(reversed(left))
    return taken
