"""On whose behalf services are called: the caller's own token goes with every call, as it came."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_token: ContextVar[str] = ContextVar("token", default="")


def token() -> str:
    """The bearer token of the request under way; empty where there is none."""
    return _token.get()


@contextmanager
def of(bearer: str) -> Iterator[None]:
    """Calls are made on behalf of whom that token speaks for."""
    before = _token.set(bearer)
    try:
        yield
    finally:
        _token.reset(before)


def metadata() -> tuple[tuple[str, str], ...]:
    """What a call carries of it. The services verify it themselves."""
    bearer = _token.get()
    return (("authorization", f"Bearer {bearer}"),) if bearer else ()
