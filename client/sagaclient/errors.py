"""What can go wrong with a request.

SagaClientError
├── TransportError         none arrived, however often it was asked: what was asked for may have been done
├── InvalidResponseError        what arrived is not what the API promises
└── APIStatusError          a problem (RFC 9457); `reason` is for machines
    ├── BadRequest    400: it can never work as it is
    ├── Unauthenticated  401
    ├── Forbidden   403
    ├── NotFound     404
    ├── Conflict     409: the state of things forbids it
    ├── IdempotencyKeyReused    422: the idempotency key was used for another request
    └── Unavailable  429, 502, 503, 504: asked again as often as was agreed, to no avail
"""

from collections.abc import Mapping, Sequence
from typing import Any


class SagaClientError(Exception):
    """Whatever goes wrong in a foreseen way."""


class TransportError(SagaClientError):
    """The connection could not be had or broke, or the answer took too long."""


class InvalidResponseError(SagaClientError):
    """An answer that is no such JSON as the API promises: something else listens there."""


class APIStatusError(SagaClientError):
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


class BadRequest(APIStatusError):
    """It can never work as it is."""


class Unauthenticated(APIStatusError):
    """There is no token, or none that is valid."""


class Forbidden(APIStatusError):
    """The token does not allow it."""


class NotFound(APIStatusError):
    """There is no such thing, or it is somebody else's."""


class Conflict(APIStatusError):
    """The state of things forbids it."""


class IdempotencyKeyReused(APIStatusError):
    """The idempotency key was used for another request."""


class Unavailable(APIStatusError):
    """The API, or a service behind it, is away or busy."""


_BY_STATUS: Mapping[int, type[APIStatusError]] = {
    400: BadRequest,
    401: Unauthenticated,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    422: IdempotencyKeyReused,
    429: Unavailable,
    502: Unavailable,
    503: Unavailable,
    504: Unavailable,
}


def refusal(status: int, problem: Any, retry_after: str | None) -> APIStatusError:
    """The error that an answer with that status is; `problem`: its JSON, if it has any."""
    found = problem if isinstance(problem, dict) else {}
    return _BY_STATUS.get(status, APIStatusError)(
        status,
        str(found.get("reason", "unknown")),
        str(found.get("detail", "")),
        found.get("errors", ()),
        int(retry_after) if retry_after and retry_after.isdecimal() else None,
    )
