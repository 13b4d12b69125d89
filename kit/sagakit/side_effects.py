"""Side effects whose outcome is not recorded: they are repeated outside of transactions and of the sweeper.

A side effect is a call of another system that a commit cannot undo. Its intention is committed first, as an
entity with a `due`; then the system is called, and the outcome is committed. A process that dies in between
leaves the intention, which a reminder finds: it schedules the call again, which then commits the outcome.
"""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from sagakit.concurrency import only_cancelled_by_callers
from sagakit.errors import SagaError

log = structlog.get_logger()

MAX_RUNNING = 10
"""Calls that run at a time, so that a slow system is not asked by all who wait for it at once."""
MAX_SCHEDULED = 100
"""Calls that run or wait for their turn. Others are left out: their entities are due again later."""
REPEAT_TIMEOUT_SECONDS = 30.0


class SideEffects:
    """Repeats the side effects of one kind of entities.

    Pass `run` to `Service.tasks`, and call `schedule` in the `Changes.on_commit` of a reminder. None of
    this awaits: a system that does not respond delays neither the sweeper nor other reminders.
    """

    def __init__(
        self, repeat: Callable[[str], Awaitable[None]], timeout_seconds: float = REPEAT_TIMEOUT_SECONDS
    ) -> None:
        """`repeat` is called with the name of an entity. It must be idempotent, as handlers must be."""
        self._repeat = repeat
        self._timeout_seconds = timeout_seconds
        self._scheduled: dict[str, asyncio.Task[None]] = {}
        self._stopped = False
        self._turns = asyncio.Semaphore(MAX_RUNNING)

    def schedule(self, name: str) -> None:
        """Repeat the side effect of the entity `name` soon.

        Does nothing if it is scheduled, if there are too many, or once `run` has ended.
        """
        if self._stopped or name in self._scheduled or len(self._scheduled) >= MAX_SCHEDULED:
            return
        # A task has a copy of the current context, so that the call belongs to the reminder's trace.
        task = self._scheduled[name] = asyncio.create_task(self._call(name))
        task.add_done_callback(lambda _: self._scheduled.pop(name))

    async def run(self) -> None:
        """Wait until cancelled; then cancel what is scheduled, and return when it has ended."""
        try:
            await asyncio.Event().wait()
        finally:
            self._stopped = True
            tasks = list(self._scheduled.values())
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _call(self, name: str) -> None:
        async with self._turns:
            try:
                with only_cancelled_by_callers():
                    async with asyncio.timeout(self._timeout_seconds):
                        await self._repeat(name)
            except (SagaError, TimeoutError) as error:
                log.warning("side effect failed", name=name, error=repr(error))
            except Exception:
                log.exception("side effect failed", name=name)
