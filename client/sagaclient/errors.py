"""The errors of the client.

SagaClientError
├── TransportError             no response: the request may or may not have been executed
├── InvalidResponseError       the response is not what the API promises
└── APIStatusError             an error response (RFC 9457); `reason` is for programs
    ├── BadRequest             400
    ├── Unauthenticated        401
    ├── Forbidden              403
    ├── NotFound               404
    ├── Conflict               409
    ├── IdempotencyKeyReused   422
    └── Unavailable            429, 502, 503, 504
"""

from collections.abc import Mapping, Sequence
from typing import Any


class SagaClientError(Exception):
    """Base class of all errors that the client raises."""


class TransportError(SagaClientError):
    """The connection failed or the response timed out, in every attempt.

    The request may have been executed. Repeat it with the same idempotency key to find out.
    """


class InvalidResponseError(SagaClientError):
    """The response is not JSON of the promised form: another server is listening at that address."""


class APIStatusError(SagaClientError):
    """The API rejected the request."""

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
        """HTTP status."""
        self.reason = reason
        """Stable code in kebab-case, for example `unknown-cart`."""
        self.detail = detail
        """Explanation for people."""
        self.errors = errors
        """Invalid fields of the request: `field` and `message` each."""
        self.retry_after_seconds = retry_after_seconds
        """Value of the header Retry-After; None if it is missing."""


class BadRequest(APIStatusError):
    """The request is invalid; do not retry it unchanged."""


class Unauthenticated(APIStatusError):
    """The request has no token, or an invalid one."""


class Forbidden(APIStatusError):
    """The token does not permit the request."""


class NotFound(APIStatusError):
    """The resource does not exist, or belongs to another user."""


class Conflict(APIStatusError):
    """The current state of the resource does not permit the request."""


class IdempotencyKeyReused(APIStatusError):
    """The idempotency key was used for a different request before."""


class Unavailable(APIStatusError):
    """The API or a service behind it is unavailable or overloaded."""


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


def status_error(status: int, problem: Any, retry_after: str | None) -> APIStatusError:
    """Return the error for an error response; `problem` is its JSON, None if it has none."""
    found = problem if isinstance(problem, dict) else {}
    return _BY_STATUS.get(status, APIStatusError)(
        status,
        str(found.get("reason", "unknown")),
        str(found.get("detail", "")),
        found.get("errors", ()),
        int(retry_after) if retry_after and retry_after.isdecimal() else None,
    )
