"""Waiting for a condition, with a deadline, instead of sleeping for luck."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")


async def eventually(
    condition: Callable[[], T | Awaitable[T]], seconds: float = 10.0, pause: float = 0.01
) -> T:
    """The first true value of `condition`; fails the test, with its last value, after `seconds`."""
    async with asyncio.timeout(seconds + 5):
        deadline = asyncio.get_running_loop().time() + seconds
        while True:
            value = condition()
            if inspect.isawaitable(value):
                value = await value
            if value:
                return value
            assert asyncio.get_running_loop().time() < deadline, f"not within {seconds} s; last: {value!r}"
            await asyncio.sleep(pause)
