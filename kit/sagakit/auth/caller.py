"""The caller of the current call: known from a verified token, and visible to the call's own task only."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from sagakit.errors import Forbidden


@dataclass(frozen=True, slots=True)
class Caller:
    """A caller and its rights."""

    sub: str
    """Subject, as the issuer names it; empty if authentication is disabled."""
    operator: bool
    """Whether the caller may see and change what belongs to others."""
    expires_at: float = math.inf
    """Expiry of the token, in seconds since the epoch."""

    def may_see(self, owner: str) -> bool:
        """Whether the caller may see what belongs to `owner`."""
        return self.operator or self.sub == owner


ANONYMOUS = Caller(sub="", operator=True)
"""The caller used when authentication is disabled; has operator rights."""

_caller: ContextVar[Caller] = ContextVar("caller", default=ANONYMOUS)


def current() -> Caller:
    """Return the caller of the current call; ANONYMOUS outside of calls."""
    return _caller.get()


def require_operator() -> None:
    """Raise Forbidden unless the caller is an operator."""
    if not current().operator:
        raise Forbidden("not-an-operator", "this is for operators")


@contextmanager
def acting_as(caller: Caller) -> Iterator[None]:
    """Context manager: `current()` returns `caller` inside the block."""
    before = _caller.set(caller)
    try:
        yield
    finally:
        _caller.reset(before)
