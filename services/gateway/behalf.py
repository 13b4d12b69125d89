"""On whose behalf services are called: the caller's own token goes with every call, as it came."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Bearer:
    """A token that was found good, and until when it is (seconds since the epoch)."""

    token: str = ""
    expires_at: float = math.inf
    operator: bool = True


_NOBODY = Bearer()
_bearer: ContextVar[Bearer] = ContextVar("bearer", default=_NOBODY)


def current() -> Bearer:
    """Of the request under way; an empty token where nobody signs in."""
    return _bearer.get()


@contextmanager
def of(bearer: Bearer) -> Iterator[None]:
    """Calls are made on behalf of whom that token speaks for."""
    before = _bearer.set(bearer)
    try:
        yield
    finally:
        _bearer.reset(before)


def metadata() -> tuple[tuple[str, str], ...]:
    """What a call carries of it. The services verify it themselves."""
    token = _bearer.get().token
    return (("authorization", f"Bearer {token}"),) if token else ()
