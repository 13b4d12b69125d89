"""What purchase reads from its environment beside what every service does."""

from collections.abc import Mapping
from dataclasses import dataclass

from sagakit.settings import Environ

LONGEST_SECONDS = 30 * 24 * 3600.0
"""Half of what an inbox remembers: an order has long ended when its events are forgotten."""


@dataclass(frozen=True, slots=True)
class Settings:
    """The environment, read once."""

    order_deadline_seconds: float
    """An order that has not ended by then, counted from its checkout, is canceled."""

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> "Settings":
        """Raises BadSetting where the variable is malformed."""
        env = Environ(environ)
        return cls(env.seconds("ORDER_DEADLINE", 1800, low=0.1, high=LONGEST_SECONDS))
