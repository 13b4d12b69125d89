"""Waiting for a condition, with a deadline, instead of sleeping for a fixed time."""

import asyncio
import inspect
from collections.abc import Callable
from typing import Any


async def eventually(condition: Callable[[], Any], seconds: float = 10.0, pause: float = 0.01) -> Any:
    """Return the first true value of `condition`, which may be a coroutine function.

    Raises AssertionError with its last value after `seconds`.
    """
    async with asyncio.timeout(seconds + 5):
        deadline = asyncio.get_running_loop().time() + seconds
        while True:
            value = condition()
            if inspect.isawaitable(value):
                value = await value
            if value:
                return value
            if asyncio.get_running_loop().time() >= deadline:
                raise AssertionError(f"not within {seconds} s; last: {value!r}")
            await asyncio.sleep(pause)
