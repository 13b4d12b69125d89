"""Waiting for the first of several awaitables, and cancellations by others than the caller."""

import asyncio
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")


async def first_completed(*awaitables: Awaitable[T]) -> T:
    """Return the result of the first to complete, once the others are cancelled and have ended.

    Raises what one of those that completed raised. Cancelled itself, it cancels all of them.
    """
    tasks = [asyncio.ensure_future(each) for each in awaitables]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        first, *_ = [task.result() for task in tasks if task.done()]
        return first
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def is_cancelled() -> bool:
    """Whether the current task is being cancelled, so that a CancelledError must end it.

    gRPC also raises CancelledError to a caller whose channel was closed.
    """
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0


@contextmanager
def only_cancelled_by_callers() -> Iterator[None]:
    """Context manager: raise RuntimeError for a CancelledError, unless the current task is cancelled."""
    try:
        yield
    except asyncio.CancelledError as error:
        if is_cancelled():
            raise
        raise RuntimeError("a call was cancelled, and not by its caller") from error
