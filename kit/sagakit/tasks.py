"""Background tasks of a service: run beside its events, restarted after an exception, drained at the end."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

import structlog

from sagakit.concurrency import only_cancelled_by_callers
from sagakit.errors import Contention, Unavailable
from sagakit.runtime import Backoff, Runtime

log = structlog.get_logger()

MAX_DEFECTS = 5
"""Exceptions in a row after which the process ends. Unavailable and Contention do not count."""
RESTART_BACKOFF = Backoff(first_seconds=1, cap_seconds=60, attempts=1 << 30)
"""Time until a task is restarted, by how often in a row it has failed."""
STABLE_AFTER_SECONDS = 60.0
"""A task that has run for this long has recovered: what failed before no longer counts."""

Task = Callable[[], Coroutine[Any, Any, None]]
"""Work beside the events, for as long as the service runs. It may return, if nothing is left to do.

An exception is logged and counted, and the task is called again after a delay. If it is a backend's
(Unavailable, Contention), that is repeated for ever; any other is a defect, and MAX_DEFECTS in a row end the
process, for its supervisor to restart it. At shutdown the task is cancelled while store and relay still work:
it has 8 seconds for what its `finally` commits and publishes; then it is cancelled again.
"""


class Tasks:
    """Runs the tasks of a service."""

    def __init__(self, tasks: Mapping[str, Task], runtime: Runtime) -> None:
        """`tasks`: by the name that logs and metrics have for it."""
        self._tasks = tasks
        self._runtime = runtime
        self._stopping = False
        self._running: list[asyncio.Task[None]] = []

    async def run(self) -> None:
        """Run the tasks until all have returned or are stopped. Raises what one raises MAX_DEFECTS times."""
        async with asyncio.TaskGroup() as group:
            self._running = [group.create_task(self._supervise(*each)) for each in self._tasks.items()]

    def stop(self) -> None:
        """Cancel the tasks, once: `run` ends when they have."""
        if not self._stopping:
            self._stopping = True
            for task in self._running:
                task.cancel()

    async def _supervise(self, name: str, work: Task) -> None:
        failures = defects = 0
        while not self._stopping:
            started = self._runtime.monotonic()
            try:
                with only_cancelled_by_callers():
                    await work()
            except Exception as error:
                if self._runtime.monotonic() - started >= STABLE_AFTER_SECONDS:
                    failures = defects = 0
                failures += 1
                self._runtime.observer.task_failed(name)
                if isinstance(error, (Unavailable, Contention)):
                    log.warning("task failed", task=name, failures=failures, error=str(error))
                else:
                    log.exception("task failed", task=name, failures=failures)
                    defects += 1
                if defects >= MAX_DEFECTS:
                    raise
                delay = RESTART_BACKOFF.max_delay(failures - 1)
                await self._runtime.sleep(self._runtime.random.uniform(delay / 2, delay))
            else:
                return
