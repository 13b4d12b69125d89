"""Waiting for a condition, with a deadline, instead of sleeping for a fixed time."""

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")


async def eventually(
    condition: Callable[[], T | Awaitable[T]], seconds: float = 10.0, pause: float = 0.01
) -> T:
    """Return the first true value of `condition`; fail with its last value after `seconds`."""
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


def wait_until(condition: Callable[[], T], seconds: float = 60.0, pause: float = 0.02) -> T:
    """Do the same as `eventually`, for tests without an event loop."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not within {seconds} s; last: {value!r}"
        time.sleep(pause)
    return value
