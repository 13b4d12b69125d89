"""The environment of payment, beside that of every service."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic.dataclasses import dataclass

from contract.fields import MAX_AMOUNT
from sagakit.settings import CONFIG, read, variable


@dataclass(frozen=True, slots=True, config=CONFIG)
class Settings:
    """The environment, read once."""

    provider: Annotated[Literal["simulated"], variable("PAYMENT_PROVIDER")] = "simulated"
    """Payment provider."""
    limit: Annotated[int, variable("PAYMENT_LIMIT", "minor units", low=0, high=MAX_AMOUNT)] = 100_000
    """Largest amount that the simulated provider charges for an order."""

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> "Settings":
        """Read the environment. Raises SettingsError for the first variable that is invalid."""
        return read(cls, environ)
