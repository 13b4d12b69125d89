"""When the call under way has to be answered: whatever is called for it has what is left, and no more."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_deadline: ContextVar[float | None] = ContextVar("deadline", default=None)


def remaining(max_seconds: float) -> float:
    """The seconds that a call made now may take: what is left, and at most so many."""
    deadline = _deadline.get()
    return max_seconds if deadline is None else max(0.0, min(max_seconds, deadline - time.monotonic()))


def extend(seconds: float) -> None:
    """Whoever is to be answered has asked for it to take so much longer."""
    deadline = _deadline.get()
    if deadline is not None:
        _deadline.set(deadline + seconds)


@contextmanager
def set_deadline(seconds: float) -> Iterator[None]:
    """What is done meanwhile has so long, counted from now."""
    before = _deadline.set(time.monotonic() + seconds)
    try:
        yield
    finally:
        _deadline.reset(before)
