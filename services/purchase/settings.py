"""The environment of purchase, beside that of every service."""

from collections.abc import Mapping
from typing import Annotated

from pydantic.dataclasses import dataclass

from sagakit.settings import CONFIG, read, variable

MAX_SECONDS = 30 * 24 * 3600
"""Half of the inbox's retention: an order is final long before its events are forgotten."""

MAX_CART_SECONDS = 10 * 365 * 24 * 3600


@dataclass(frozen=True, slots=True, config=CONFIG)
class Settings:
    """The environment, read once."""

    order_deadline_seconds: Annotated[float, variable("ORDER_DEADLINE", "s", low=0.1, high=MAX_SECONDS)] = (
        1800
    )
    """Time from checkout after which an open order is canceled, with the reason `timeout`."""
    cart_ttl_seconds: Annotated[float, variable("CART_TTL_SECONDS", "s", low=1, high=MAX_CART_SECONDS)] = (
        MAX_SECONDS
    )
    """Time since its last change after which a cart that is not checked out expires."""

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> "Settings":
        """Read the environment. Raises SettingsError for the first variable that is invalid."""
        return read(cls, environ)
