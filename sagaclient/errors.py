"""What can go wrong with a request.

SagaClientError
├── NoAnswer         none arrived, however often it was asked: what was asked for may have been done
├── BadAnswer        what arrived is not what the API promises
└── Refused          a problem (RFC 9457); `reason` is for machines
    ├── Malformed    400: it can never work as it is
    ├── NotSignedIn  401
    ├── NotAllowed   403
    ├── NotFound     404
    ├── Conflict     409: the state of things forbids it
    ├── KeyReused    422: the idempotency key was used for another request
    └── Unavailable  429, 502, 503, 504: asked again as often as was agreed, to no avail
"""

from collections.abc import Mapping, Sequence
from typing import Any


class SagaClientError(Exception):
    """Whatever goes wrong in a foreseen way."""


class NoAnswer(SagaClientError):
    """The connection could not be had or broke, or the answer took too long."""


class BadAnswer(SagaClientError):
    """An answer that is no such JSON as the API promises: something else listens there."""


class Refused(SagaClientError):
    """The request was refused. `reason` is a stable word in kebab-case, `errors` the fields at fault."""

    def __init__(
        self,
        status: int,
        reason: str,
        detail: str,
        errors: Sequence[Mapping[str, str]] = (),
        retry_after_seconds: int | None = None,
    ) -> None:
        super().__init__(f"{status} {reason}: {detail}")
        self.status = status
        self.reason = reason
        self.detail = detail
        self.errors = errors
        self.retry_after_seconds = retry_after_seconds
        """How long the server asks to wait, where it does."""


class Malformed(Refused):
    """It can never work as it is."""


class NotSignedIn(Refused):
    """There is no token, or none that is valid."""


class NotAllowed(Refused):
    """The token does not allow it."""


class NotFound(Refused):
    """There is no such thing, or it is somebody else's."""


class Conflict(Refused):
    """The state of things forbids it."""


class KeyReused(Refused):
    """The idempotency key was used for another request."""


class Unavailable(Refused):
    """The API, or a service behind it, is away or busy."""


_BY_STATUS: Mapping[int, type[Refused]] = {
    400: Malformed,
    401: NotSignedIn,
    403: NotAllowed,
    404: NotFound,
    409: Conflict,
    422: KeyReused,
    429: Unavailable,
    502: Unavailable,
    503: Unavailable,
    504: Unavailable,
}


def refusal(status: int, problem: Any, retry_after: str | None) -> Refused:
    """The error that an answer with that status is; `problem`: its JSON, if it has any."""
    found = problem if isinstance(problem, dict) else {}
    return _BY_STATUS.get(status, Refused)(
        status,
        str(found.get("reason", "unknown")),
        str(found.get("detail", "")),
        found.get("errors", ()),
        int(retry_after) if retry_after and retry_after.isdecimal() else None,
    )
