"""An event loop on virtual time: when no task can run, the clock jumps to the next timer."""

import asyncio
import contextvars
import selectors
from collections.abc import Callable, Coroutine
from typing import Any

MIN_DELAY_SECONDS = 1e-9


class Deadlock(Exception):
    """Every task waits, and no timer is pending."""


class Group:
    """The tasks of one simulated process."""

    def __init__(self) -> None:
        self.tasks: dict[asyncio.Task[Any], None] = {}
        """In creation order; a set's order would differ between runs."""
        self.frozen = False
        """Whether none of its tasks gets on."""
        self.held: list[tuple[asyncio.Handle, Callable[..., object], Any, contextvars.Context | None]] = []
        """The steps of its tasks that wait for it to thaw."""


owner: "contextvars.ContextVar[Group | None]" = contextvars.ContextVar("owner", default=None)
"""Collects the tasks created in this context, i.e. those of one simulated process."""


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
        self.set_task_factory(_create_task)  # type: ignore[arg-type]  # any options

    def time(self) -> float:
        return self._virtual.now

    def call_later(  # type: ignore[override]  # its arguments belong together, which Any cannot say
        self,
        delay: float,
        callback: Callable[..., object],
        *args: Any,
        context: contextvars.Context | None = None,
    ) -> asyncio.TimerHandle:
        """Let time pass: a rest of 1e-14 s would be rounded away, and a loop that waits for it never ends."""
        passes = max(delay, MIN_DELAY_SECONDS) if delay > 0 else delay
        return super().call_later(passes, callback, *args, context=context)

    def call_soon(  # type: ignore[override]  # its arguments belong together, which Any cannot say
        self, callback: Callable[..., object], *args: Any, context: contextvars.Context | None = None
    ) -> asyncio.Handle:
        """Every step of a task comes through here: one of a frozen process waits until it thaws."""
        group = owner.get() if context is None else context.get(owner)
        if group is None or not group.frozen:
            return super().call_soon(callback, *args, context=context)
        handle = asyncio.Handle(callback, args, self, context)
        group.held.append((handle, callback, args, context))
        return handle

    def thaw(self, group: Group) -> None:
        """Let a frozen process continue."""
        group.frozen = False
        held, group.held = group.held, []
        for handle, callback, args, context in held:
            if not handle.cancelled():
                self.call_soon(callback, *args, context=context)


def _create_task(loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, Any], **options: Any) -> Any:
    task = asyncio.Task(coroutine, loop=loop, **options)
    group = owner.get()
    if group is not None:
        group.tasks[task] = None
        task.add_done_callback(lambda done: group.tasks.pop(done, None))
    return task


def run(main: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    """Return the result of `main`, run on a new virtual loop."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main())
