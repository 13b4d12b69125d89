"""The names of an application that is built on the kit, on the wire and in telemetry."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

MessageAttributes = Callable[[Any], Mapping[str, str]]
"""Returns the span attributes of a gRPC request or response."""


@dataclass(frozen=True, slots=True)
class Application:
    """The names that all services of one application share."""

    error_domain: str = "sagakit"
    """The ErrorInfo domain of gRPC errors (AIP-193)."""
    operator_scope: str = "operator"
    """The token scope that makes a caller an operator, unless AUTH_OPERATOR_SCOPE names another."""
    log_fields: tuple[str, ...] = ("eventid", "attempt")
    """Fields that come first on a line of the console log."""
    dead_letter_reasons: tuple[str, ...] = ()
    """Reasons of Poison that handlers of several services raise, up to a colon: values of the metric's
    attribute `reason`. A service has those of its own in `Service.dead_letter_reasons`."""
    message_attributes: MessageAttributes = lambda _: {}
    """Attributes of the spans of gRPC calls, from their requests and responses."""


DEFAULT_APPLICATION = Application()
