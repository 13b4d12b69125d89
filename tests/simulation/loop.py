"""An event loop on virtual time: whenever nobody can go on, the clock jumps to whoever wakes next."""

import asyncio
import contextvars
import selectors
from collections.abc import Callable, Coroutine
from typing import Any

Tasks = dict["asyncio.Task[Any]", None]
"""In the order they were created: a set's would be another in every run."""

owner: "contextvars.ContextVar[Tasks | None]" = contextvars.ContextVar("owner", default=None)
"""Where the tasks that are created in this context are noted down: those of one process."""


class Deadlock(Exception):
    """Everybody waits, and nobody will ever wake up."""


class _Clock(selectors.SelectSelector):
    """Waits for nothing but the clock, and not for that either."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None:
            raise Deadlock
        self.now += max(0.0, timeout)
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """Runs what sleeps for days in moments, the same way every time."""

    def __init__(self) -> None:
        self._virtual = _Clock()
        super().__init__(self._virtual)
        self.set_task_factory(_noted)

    def time(self) -> float:
        return self._virtual.now


def _noted(loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, Any], **options: Any) -> Any:
    task = asyncio.Task(coroutine, loop=loop, **options)
    mine = owner.get()
    if mine is not None:
        mine[task] = None
        task.add_done_callback(lambda done: mine.pop(done, None))
    return task


def run(main: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    """What `main` returns, on a loop of its own."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main())
