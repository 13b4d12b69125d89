"""Waiting for a condition, with a deadline, instead of sleeping for a fixed time."""

import time
from collections.abc import Callable
from typing import TypeVar

from sagakit.testing.eventually import eventually

__all__ = ["eventually", "wait_until"]

T = TypeVar("T")


def wait_until(condition: Callable[[], T], seconds: float = 60.0, pause: float = 0.02) -> T:
    """Do the same as `eventually`, for tests without an event loop."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not within {seconds} s; last: {value!r}"
        time.sleep(pause)
    return value
