"""On whose behalf a call is served: known from a verified token, and to the call's own task alone."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from sagakit.errors import Forbidden


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls, and what they may."""

    sub: str
    """As the issuer names them; empty where nobody signs in."""
    operator: bool
    """May see and change what belongs to others."""
    expires_at: float = math.inf
    """Until when the token speaks for them (seconds since the epoch)."""

    def may_see(self, owner: str) -> bool:
        """Whether something with that owner is theirs."""
        return self.operator or self.sub == owner


ANONYMOUS = Caller(sub="", operator=True)
"""Whoever calls a suite in which nobody signs in."""

_caller: ContextVar[Caller] = ContextVar("caller", default=ANONYMOUS)


def current() -> Caller:
    """On whose behalf the call under way is served; ANONYMOUS outside of calls."""
    return _caller.get()


def require_operator() -> None:
    """Forbidden unless the caller is one."""
    if not current().operator:
        raise Forbidden("not-an-operator", "this is for operators")


@contextmanager
def acting_as(caller: Caller) -> Iterator[None]:
    """What is done meanwhile is done on behalf of `caller`."""
    before = _caller.set(caller)
    try:
        yield
    finally:
        _caller.reset(before)
