"""The deadline of the current call, which bounds every call that is made on its behalf.

Its time is that of the running event loop, as of `asyncio.timeout`: virtual in simulations.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_deadline: ContextVar[float | None] = ContextVar("deadline", default=None)


def remaining(max_seconds: float) -> float:
    """Return the seconds until the deadline, capped at `max_seconds`; 0 if it has passed."""
    deadline = _deadline.get()
    return max_seconds if deadline is None else max(0.0, min(max_seconds, deadline - _now()))


def extend(seconds: float) -> None:
    """Extend the current deadline by `seconds`, because the client asked to wait (long polling)."""
    deadline = _deadline.get()
    if deadline is not None:
        _deadline.set(deadline + seconds)


@contextmanager
def set_deadline(seconds: float) -> Iterator[None]:
    """Set a deadline of `seconds` from now for the body of the `with` block."""
    before = _deadline.set(_now() + seconds)
    try:
        yield
    finally:
        _deadline.reset(before)


def _now() -> float:
    return asyncio.get_running_loop().time()
