"""What purchase reads from its environment beside what every service does."""

from collections.abc import Mapping
from dataclasses import dataclass

from sagakit.settings import Environ

MAX_SECONDS = 30 * 24 * 3600.0
"""Half of what an inbox remembers: an order has long ended when its events are forgotten."""

MAX_CART_SECONDS = 10 * 365 * 24 * 3600.0


@dataclass(frozen=True, slots=True)
class Settings:
    """The environment, read once."""

    order_deadline_seconds: float
    """An order that has not ended by then, counted from its checkout, is canceled."""
    cart_ttl_seconds: float
    """A cart that nobody has touched for so long, and that is not checked out, is removed some time later."""

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> "Settings":
        """Raises SettingsError for the first variable that is malformed."""
        env = Environ(environ)
        return cls(
            order_deadline_seconds=env.seconds("ORDER_DEADLINE", 1800, low=0.1, high=MAX_SECONDS),
            cart_ttl_seconds=env.seconds("CART_TTL_SECONDS", MAX_SECONDS, low=1, high=MAX_CART_SECONDS),
        )
