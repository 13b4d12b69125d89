"""An event loop on virtual time: when no task can run, the clock jumps to the next timer."""

import asyncio
import contextvars
import selectors
from collections.abc import Callable, Coroutine
from typing import Any

Tasks = dict["asyncio.Task[Any]", None]
"""Tasks in creation order; a set's order would differ between runs."""

owner: "contextvars.ContextVar[Tasks | None]" = contextvars.ContextVar("owner", default=None)
"""Collects the tasks created in this context, i.e. those of one simulated process."""


class Deadlock(Exception):
    """Every task waits, and no timer is pending."""


class _Clock(selectors.SelectSelector):
    """Advances the virtual time instead of waiting."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None:
            raise Deadlock
        self.now += max(0.0, timeout)
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """Runs hours of sleeping in moments, deterministically."""

    def __init__(self) -> None:
        self._virtual = _Clock()
        super().__init__(self._virtual)
        self.set_task_factory(_create_task)

    def time(self) -> float:
        return self._virtual.now


def _create_task(loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, Any], **options: Any) -> Any:
    task = asyncio.Task(coroutine, loop=loop, **options)
    tasks = owner.get()
    if tasks is not None:
        tasks[task] = None
        task.add_done_callback(lambda done: tasks.pop(done, None))
    return task


def run(main: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    """Return the result of `main`, run on a new virtual loop."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main())
