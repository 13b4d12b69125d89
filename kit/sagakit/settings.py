"""Reading the environment: what is missing or malformed stops the process before it serves."""

from collections.abc import Mapping


class SettingsError(Exception):
    """An environment variable that is missing or makes no sense; the message names it."""

    def __init__(self, name: str, message: str) -> None:
        super().__init__(f"{name} {message}")
        self.name = name


class Environ:
    """The environment, read once, with typed values."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ

    def text(self, name: str, default: str | None = None) -> str:
        """The value without surrounding blanks; an empty one counts as missing."""
        value = self._environ.get(name, "").strip() or default
        if value is None:
            raise SettingsError(name, "is not set")
        return value

    def choice(self, name: str, choices: tuple[str, ...], default: str) -> str:
        value = self.text(name, default)
        if value not in choices:
            raise SettingsError(name, f"must be one of {', '.join(choices)}, not {value!r}")
        return value

    @property
    def production(self) -> bool:
        """Whether ENVIRONMENT says so: then what is for developers is off."""
        return self.choice("ENVIRONMENT", ("development", "production"), "development") == "production"

    def texts(self, name: str) -> tuple[str, ...]:
        """A comma-separated list with at least one entry."""
        entries = tuple(entry.strip() for entry in self.text(name).split(",") if entry.strip())
        if not entries:
            raise SettingsError(name, "names nothing")
        return entries

    def integer(self, name: str, default: int | None = None, low: int = 0, high: int = 2**63 - 1) -> int:
        text = self.text(name, None if default is None else str(default))
        try:
            value = int(text)
        except ValueError:
            raise SettingsError(name, f"must be an integer, not {text!r}") from None
        if not low <= value <= high:
            raise SettingsError(name, f"must be from {low} to {high}, not {value}")
        return value

    def metrics_port(self) -> int | None:
        """Where METRICS_PORT has metrics served; None: nowhere."""
        return self.integer("METRICS_PORT", low=0, high=65_535) if self.text("METRICS_PORT", "") else None

    def seconds(self, name: str, default: float | None = None, low: float = 0, high: float = 86_400) -> float:
        text = self.text(name, None if default is None else str(default))
        try:
            value = float(text)
        except ValueError:
            raise SettingsError(name, f"must be a number of seconds, not {text!r}") from None
        if not low <= value <= high:
            raise SettingsError(name, f"must be from {low} to {high} seconds, not {value}")
        return value
