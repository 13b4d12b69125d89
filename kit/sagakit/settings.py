"""The environment of a service: every variable is a documented field of a settings dataclass.

An application adds settings of its own in the same way; `variables` lists them for its documentation.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, TypeVar, get_args
from urllib.parse import urlsplit

from pydantic import (
    BeforeValidator,
    ConfigDict,
    Field,
    SkipValidation,
    TypeAdapter,
    ValidationError,
)
from pydantic.dataclasses import dataclass, is_pydantic_dataclass
from pydantic.fields import FieldInfo

from sagakit.addresses import MAX_PORT, EmulatorHost

CONFIG = ConfigDict(
    use_attribute_docstrings=True, validate_by_alias=True, validate_by_name=True, allow_inf_nan=False
)
"""Configuration of every settings dataclass."""

T = TypeVar("T")


class SettingsError(Exception):
    """An environment variable that is missing or invalid; the message names it."""

    def __init__(self, name: str, message: str) -> None:
        super().__init__(f"{name} {message}")
        self.name = name


def variable(name: str, unit: str = "", *, low: float | None = None, high: float | None = None) -> Any:
    """Return the annotation of a field that is read from the environment variable `name`.

    A number must be from `low` to `high`; `unit` is for the documentation.
    """
    return Field(validation_alias=name, ge=low, le=high, json_schema_extra={"unit": unit})


def read(settings: type[T], environ: Mapping[str, str], /, **nested: Any) -> T:
    """Return the settings read from `environ`; a blank value counts as missing, blanks around it are removed.

    `nested` are the fields that are no variables. Raises SettingsError for the first variable that is
    missing or invalid.
    """
    names = [str(field.validation_alias) for field in _fields(settings).values() if field.validation_alias]
    given = {name: value for name in names if (value := environ.get(name, "").strip())}
    try:
        return TypeAdapter(settings).validate_python({**given, **nested})
    except ValidationError as error:
        first = error.errors()[0]
        raise SettingsError(str(first["loc"][0]), _message(first)) from None


def _message(error: Any) -> str:
    if error["type"] == "missing":
        return "is not set"
    if error["type"] == "value_error":
        return str(error["ctx"]["error"])
    rule = error["msg"].partition(", unable")[0].replace("Input should be", "must be")
    rule = rule.replace("a valid integer", "an integer").replace("a valid number", "a number")
    rule = rule.replace("a valid boolean", "true or false")
    return f"{rule}, not {error['input']!r}"


def _fields(settings: Any) -> dict[str, FieldInfo]:
    fields: dict[str, FieldInfo] = settings.__pydantic_fields__
    return fields


class Variable(NamedTuple):
    """An environment variable, as documentation describes it."""

    name: str
    default: str | None
    """None: it must be set."""
    unit: str
    meaning: str


def variables(settings: type, *, optional: bool = False) -> Iterator[Variable]:
    """List the variables of a settings dataclass, and of those nested in it."""
    for field in _fields(settings).values():
        if isinstance(field.validation_alias, str):
            extra: Any = field.json_schema_extra
            default = _default(field, optional=optional)
            meaning = " ".join((field.description or "").split())
            yield Variable(field.validation_alias, default, extra["unit"], meaning)
        else:
            kinds = (field.annotation, *get_args(field.annotation))
            for kind in filter(is_pydantic_dataclass, kinds):
                yield from variables(kind, optional=type(None) in kinds)


def _default(field: FieldInfo, *, optional: bool) -> str | None:
    if field.is_required():
        return "" if optional else None
    if isinstance(field.default, bool):
        return str(field.default).lower()
    return "" if field.default in (None, (), Path()) else str(field.default)


def _split(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    entries = tuple(entry.strip() for entry in value.split(",") if entry.strip())
    if not entries:
        raise ValueError("must have at least one entry")
    return entries


Texts = Annotated[tuple[str, ...], BeforeValidator(_split)]
"""A comma-separated list with at least one entry."""
Environment = Literal["development", "production"]
FAULTS_ALLOWED = "FAULTS_ALLOWED"


def is_production(environ: Mapping[str, str]) -> bool:
    """Whether ENVIRONMENT is `production`."""
    return environ.get("ENVIRONMENT", "").strip() == "production"


@dataclass(frozen=True, slots=True, config=CONFIG)
class BackendSettings:
    """Where entities and messages are stored."""

    backend: Annotated[Literal["gcp", "embedded"], variable("BACKEND")] = "gcp"
    """`gcp`: Datastore and Pub/Sub, or their emulators; `embedded`: one SQLite file."""
    project: Annotated[str, variable("GOOGLE_CLOUD_PROJECT")] = ""
    """Google Cloud project; must be set for `gcp`. Log lines name their trace in it."""
    database: Annotated[str, variable("DATASTORE_DATABASE")] = ""
    """Datastore database; the project's default one if it is unset."""
    datastore_emulator: Annotated[EmulatorHost, variable("DATASTORE_EMULATOR_HOST")] = ""
    """`host:port` of the Datastore emulator, to use instead of Google's service, as any tool prints it."""
    pubsub_emulator: Annotated[EmulatorHost, variable("PUBSUB_EMULATOR_HOST")] = ""
    """`host:port` of the Pub/Sub emulator, to use instead of Google's service, as any tool prints it."""
    ephemeral_project: Annotated[str, variable("EPHEMERAL_PROJECT")] = ""
    """Google Cloud project of ephemeral subscriptions, GOOGLE_CLOUD_PROJECT if it is unset. With another one
    gateways need no permissions on the subscriptions of services."""
    embedded_file: Annotated[Path, variable("EMBEDDED_FILE")] = Path()
    """SQLite file; must be set for `embedded`. All services use the same."""
    calls_in_flight: Annotated[int, variable("DATABASE_CALLS_IN_FLIGHT", low=0, high=100)] = 0
    """Lookups, and likewise commits, that a process has in flight; further ones share the next call. 0: 1 on
    the emulators and for `embedded`, 4 on Datastore."""
    commit_mutations: Annotated[int, variable("DATABASE_COMMIT_MUTATIONS", low=1, high=500)] = 25
    """Entities that transactions which share a commit write together. The Datastore emulator takes 25."""

    @property
    def messaging_system(self) -> str:
        """The broker's name in OpenTelemetry's conventions."""
        return "gcp_pubsub" if self.backend == "gcp" else self.backend

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> "BackendSettings":
        """Read the environment. Raises SettingsError."""
        settings = read(cls, environ)
        if settings.backend == "gcp" and not settings.project:
            raise SettingsError("GOOGLE_CLOUD_PROJECT", "is not set")
        if settings.backend == "embedded" and settings.embedded_file == Path():
            raise SettingsError("EMBEDDED_FILE", "is not set")
        return settings if settings.project else replace(settings, project=settings.backend)


@dataclass(frozen=True, slots=True, config=CONFIG)
class LogSettings:
    """Format and level of the log on standard output."""

    format: Annotated[Literal["console", "json"], variable("LOG_FORMAT")] = "console"
    """`json`: one object per line, as Cloud Logging reads it; `console`: for people."""
    level: Annotated[Literal["debug", "info", "warning", "error"], variable("LOG_LEVEL")] = "info"
    """Lowest level that is logged; of libraries at least `warning`."""
    project: Annotated[str, variable("GOOGLE_CLOUD_PROJECT")] = ""
    """Google Cloud project of the traces that log lines name."""


@dataclass(frozen=True, slots=True, config=CONFIG)
class AuthSettings:
    """Accepted tokens: their issuer and audience."""

    issuer: Annotated[str, variable("AUTH_ISSUER")]
    """URL of the OpenID Connect issuer whose tokens are accepted. Authentication is disabled if neither this
    nor AUTH_AUDIENCE nor AUTH_KEYS_FILE is set, which `production` does not allow."""
    audience: Annotated[str, variable("AUTH_AUDIENCE")]
    """Audience that a token must name."""
    operator_scope: Annotated[str, variable("AUTH_OPERATOR_SCOPE")] = ""
    """Scope that makes a caller an operator."""
    keys_file: Annotated[Path | None, variable("AUTH_KEYS_FILE")] = None
    """JWKS file to use instead of the issuer's keys; for development only."""

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> "AuthSettings | None":
        """Read the environment; return None if authentication is disabled. Raises SettingsError."""
        production = is_production(environ)
        names = ("AUTH_ISSUER", "AUTH_AUDIENCE", "AUTH_KEYS_FILE")
        if not any(environ.get(name, "").strip() for name in names):
            if production:
                raise SettingsError("AUTH_ISSUER", "is not set: ENVIRONMENT=production requires it")
            return None
        settings = read(cls, environ)
        if settings.keys_file and production:
            raise SettingsError("AUTH_KEYS_FILE", "is for development, not for ENVIRONMENT=production")
        parts = urlsplit(settings.issuer)
        loopback = parts.scheme == "http" and parts.hostname in ("127.0.0.1", "localhost", "::1")
        if parts.scheme != "https" and not (loopback and not production):
            raise SettingsError("AUTH_ISSUER", f"must be an https URL, not {settings.issuer!r}")
        return settings


@dataclass(frozen=True, slots=True, config=CONFIG)
class ServiceSettings:
    """The environment of every event-driven service."""

    backend: BackendSettings
    port: Annotated[int, variable("PORT", low=0, high=MAX_PORT)]
    """gRPC port; 0: any free one."""
    environ: SkipValidation[Mapping[str, str]]
    """The environment, for the service's own settings."""
    publish_topic: Annotated[str, variable("EVENT_PUBLISH_TOPIC")] = ""
    """Topic that the service publishes its events to; must be set for one that publishes any."""
    cloudevents: Annotated[bool, variable("EVENT_CLOUDEVENTS")] = False
    """`true`: published events have CloudEvents attributes too (binary mode). Received ones may have them
    whatever is set."""
    subscribe_topics: Annotated[Texts, variable("EVENT_SUBSCRIBE_TOPICS")] = ()
    """Comma-separated topics whose events the service receives, each through the subscription
    `<service>-service.<topic>`, which all its replicas share; must be set for one that handles events."""
    dead_letter_topic: Annotated[str, variable("EVENT_DEAD_LETTER_TOPIC")] = ""
    """Topic for events that cannot be applied; must be set with `EVENT_SUBSCRIBE_TOPICS`."""
    host: Annotated[str, variable("HOST")] = "127.0.0.1"
    """Address to listen at, for gRPC and metrics."""
    metrics_port: Annotated[int | None, variable("METRICS_PORT", low=0, high=MAX_PORT)] = None
    """Port of the Prometheus endpoint `/metrics`; if it is unset, nothing is measured."""
    environment: Annotated[Environment, variable("ENVIRONMENT")] = "development"
    """`production` requires authentication and turns gRPC reflection off."""
    faults_allowed: Annotated[bool, variable(FAULTS_ALLOWED)] = False
    """`true`: `sagactl faults` may pause the service in `production`, too."""
    drain_delay_seconds: Annotated[float, variable("DRAIN_DELAY_SECONDS", "s", low=0, high=86_400)] = 0
    """How long a service continues to serve after SIGTERM, so that load balancers notice."""
    sweep_seconds: Annotated[float, variable("SWEEP_SECONDS", "s", low=0.1, high=86_400)] = 10
    """Duration of one pass of the sweepers, which find unpublished events and overdue reminders."""
    reminder_interval_seconds: Annotated[
        float, variable("REMINDER_INTERVAL_SECONDS", "s", low=0.1, high=86_400)
    ] = 15
    """Time until the first reminder; the interval doubles with each further one, up to 10 minutes."""
    logs: LogSettings = LogSettings()
    auth: AuthSettings | None = None
    """None: authentication is disabled."""

    @property
    def production(self) -> bool:
        """Whether this is a production process."""
        return self.environment == "production"

    @property
    def can_be_paused(self) -> bool:
        """Whether the process looks up whether it is to pause."""
        return self.faults_allowed or not self.production

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> "ServiceSettings":
        """Read the environment. Raises SettingsError for the first variable that is missing or invalid."""
        settings = read(
            cls,
            environ,
            backend=BackendSettings.from_environ(environ),
            logs=read(LogSettings, environ),
            auth=AuthSettings.from_environ(environ),
            environ=environ,
        )
        if settings.subscribe_topics and not settings.dead_letter_topic:
            raise SettingsError("EVENT_DEAD_LETTER_TOPIC", "is not set")
        return settings
