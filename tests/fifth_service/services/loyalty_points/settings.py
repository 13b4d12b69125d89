"""The environment of the service."""

from collections.abc import Mapping
from typing import Annotated

from pydantic.dataclasses import dataclass

from sagakit.settings import CONFIG, read, variable


@dataclass(frozen=True, slots=True, config=CONFIG)
class Settings:
    """The variables of its own."""

    rate: Annotated[int, variable("POINTS_PER_UNIT", "points", low=1)] = 1
    """Points that each unit of an item earns."""

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> "Settings":
        """Read the environment. Raises SettingsError."""
        return read(cls, environ)
