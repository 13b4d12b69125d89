"""The errors of the kit. Adapters translate vendors' errors into them, the edges translate them to statuses.

SagaError
├── Rejected                  the caller's fault, with a machine-readable `reason`; nothing was changed
│   ├── InvalidArgument       the `field` is malformed
│   ├── NotFound
│   ├── FailedPrecondition    the current state does not allow it
│   ├── Unauthenticated       the token is missing or invalid
│   │   └── MissingToken      the request has no token
│   └── Forbidden             the caller lacks the permission
├── Contention                other writers kept committing first; try again
├── Poison                    an event that can never be applied
├── Unchangeable              a resource has another setting, which cannot be changed
└── Unavailable               a backend cannot be reached; nothing was changed
    └── OutcomeUnknown        a commit was not answered, and may have been applied
"""


class SagaError(Exception):
    """Any error that the kit or a service expects."""


class Rejected(SagaError):
    """The request cannot be fulfilled. `reason` is a stable identifier in kebab-case."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class InvalidArgument(Rejected):
    """`field` of the request is malformed, whatever the current state.

    `why` is a stable identifier in kebab-case that distinguishes several causes for the same field, or "".
    """

    def __init__(self, field: str, message: str, why: str = "") -> None:
        super().__init__("invalid-argument", message)
        self.field = field
        self.why = why


class NotFound(Rejected):
    """The entity does not exist."""


class FailedPrecondition(Rejected):
    """The request is well-formed, but the current state does not allow it (gRPC's FAILED_PRECONDITION)."""


class Unauthenticated(Rejected):
    """The request has no token, or an invalid one."""

    def __init__(self, message: str) -> None:
        super().__init__("unauthenticated", message)


class MissingToken(Unauthenticated):
    """The request has no token."""


class Forbidden(Rejected):
    """The caller is authenticated, and lacks the permission."""


class Contention(SagaError):
    """Other writers kept committing first; nothing was changed."""


class Poison(SagaError):
    """An event that can never be applied; it becomes a dead letter.

    `reason` is a stable identifier in kebab-case, optionally with details after a colon.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Unchangeable(SagaError):
    """A resource has a setting other than the wanted one, which cannot be changed: delete it first."""


class Unavailable(SagaError):
    """A backend cannot be reached or is too slow; nothing was changed."""


class OutcomeUnknown(Unavailable):
    """A commit was sent and not answered: it has been applied as a whole, or not at all."""
