"""Waiting for the first of several awaitables."""

import asyncio
from collections.abc import Awaitable
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
