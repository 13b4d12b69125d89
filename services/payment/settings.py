"""What payment reads from its environment beside what every service does."""

from collections.abc import Mapping
from dataclasses import dataclass

from contract.fields import MAX_AMOUNT
from sagakit.settings import Environ

PROVIDERS = ("simulated",)


@dataclass(frozen=True, slots=True)
class Settings:
    """The environment, read once."""

    provider: str
    limit: int
    """The most the simulated provider charges for an order, in minor units."""

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> "Settings":
        """Raises SettingsError for the first variable that is malformed."""
        env = Environ(environ)
        return cls(
            provider=env.choice("PAYMENT_PROVIDER", PROVIDERS, "simulated"),
            limit=env.integer("PAYMENT_LIMIT", 100_000, high=MAX_AMOUNT),
        )
