"""The one tree of errors; adapters translate into it, the gRPC and HTTP edges translate out of it.

SagaError
├── Rejected             the caller's fault; `reason` is for machines, nothing was changed
│   ├── InvalidArgument  `field` can never be what it is
│   ├── NotFound
│   ├── FailedPrecondition       not in the state things are in
│   ├── Unauthenticated  nobody knows who asks
│   └── Forbidden        this caller may not
├── Contention           others kept getting there first; try again
├── Poison               an event that can never be applied
└── Unavailable          a backend is away; nothing was changed
    └── OutcomeUnknown   … except that a commit may have been applied
"""


class SagaError(Exception):
    """Whatever goes wrong in a foreseen way."""


class Rejected(SagaError):
    """The caller asked for what cannot be done. `reason` is a stable word in kebab-case."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class InvalidArgument(Rejected):
    """`field` of the request is malformed, whatever the state of things.

    `why` is a stable word in kebab-case, where there is more to say than that.
    """

    def __init__(self, field: str, message: str, why: str = "") -> None:
        super().__init__("invalid-argument", message)
        self.field = field
        self.why = why


class NotFound(Rejected):
    """There is no such thing."""


class FailedPrecondition(Rejected):
    """It is well-formed, but the state of things forbids it (gRPC's FAILED_PRECONDITION)."""


class Unauthenticated(Rejected):
    """It is not known who asks: there is no token, or it is no good."""

    def __init__(self, message: str) -> None:
        super().__init__("unauthenticated", message)


class Forbidden(Rejected):
    """It is known who asks, and they may not."""


class Contention(SagaError):
    """Other writers kept getting there first; nothing was changed."""


class Poison(SagaError):
    """An event that can never be applied, and why: it belongs in the dead letters."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Unavailable(SagaError):
    """A backend is away or too slow; nothing was changed."""


class OutcomeUnknown(Unavailable):
    """A commit was sent and not answered: it may have been applied, as a whole or not at all."""
