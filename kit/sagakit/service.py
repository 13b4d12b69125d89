"""Declares a service: its settings, the kit it is built on, and the parts that it adds."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sagakit.auth.jwt import AuthSettings
from sagakit.backends import BackendSettings
from sagakit.consumer import Handler
from sagakit.inbox import Inbox
from sagakit.reminders import ReminderSchedule, RemindFn
from sagakit.runtime import Runtime
from sagakit.settings import Environ
from sagakit.store import Store
from sagakit.tables import Tables
from sagakit.telemetry.instruments import NO_METRICS, Metrics
from sagakit.telemetry.logging import LogSettings
from sagakit.telemetry.overdue import WaitingSince


@dataclass(frozen=True, slots=True)
class ServiceSettings:
    """The settings that every event-driven service reads from its environment."""

    backend: BackendSettings
    publish_topic: str
    subscribe_topics: tuple[str, ...]
    dead_letter_topic: str
    host: str
    port: int
    logs: LogSettings
    production: bool
    drain_delay_seconds: float
    """How long a service keeps serving after SIGTERM, until load balancers have noticed."""
    sweep_seconds: float
    """Mean time of a sweeper's pass over all shards."""
    schedule: ReminderSchedule
    environ: Mapping[str, str]
    """For settings of the service's own."""
    auth: AuthSettings | None = None
    """The token issuer to trust. None: authentication is disabled."""
    metrics_port: int | None = None
    """Port of the metrics endpoint. None: metrics are off."""

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> "ServiceSettings":
        """Read the settings. Raises SettingsError for the first variable that is missing or malformed."""
        env = Environ(environ)
        return cls(
            backend=BackendSettings.from_environ(environ),
            publish_topic=env.text("EVENT_PUBLISH_TOPIC"),
            subscribe_topics=env.texts("EVENT_SUBSCRIBE_TOPICS"),
            dead_letter_topic=env.text("EVENT_DEAD_LETTER_TOPIC"),
            host=env.text("HOST", "127.0.0.1"),
            port=env.integer("PORT", low=0, high=65_535),
            logs=LogSettings.from_environ(environ),
            production=env.production,
            drain_delay_seconds=env.seconds("DRAIN_DELAY_SECONDS", 0),
            sweep_seconds=env.seconds("SWEEP_SECONDS", 10, low=0.1),
            schedule=ReminderSchedule(env.seconds("REMINDER_INTERVAL_SECONDS", 15, low=0.1)),
            environ=environ,
            auth=AuthSettings.from_environ(environ),
            metrics_port=env.metrics_port(),
        )


@dataclass(frozen=True, slots=True)
class Kit:
    """What a service is built with: its store, inbox, clocks and settings."""

    store: Store
    inbox: Inbox
    runtime: Runtime
    schedule: ReminderSchedule
    tables: Tables
    """The database under the store, for tables that are not part of the service's transactions."""
    environ: Mapping[str, str]
    """For settings of the service's own."""
    metrics: Metrics = NO_METRICS
    """Creates instruments of the service's own."""


@dataclass(frozen=True, slots=True)
class Service:
    """The parts of a service. Everything is wired and run by the kit."""

    servicers: Sequence[Callable[[Any], None]]
    """Each is called with the gRPC server, and registers a servicer with it."""
    reflection_names: Sequence[str]
    """The full names of its gRPC services, for reflection."""
    handlers: Mapping[str, Handler]
    """By event type. Events of other types are acknowledged and ignored. See `Handler` for the contract."""
    reminders: Mapping[str, RemindFn] = field(default_factory=dict)
    """By the kind of entities that may wait for a reply."""
    waiting_since: Mapping[str, WaitingSince] = field(default_factory=dict)
    """By the same kinds, for metrics. Without it, an entity waits since its first reminder."""
    health_checks: Sequence[Callable[[], Awaitable[None]]] = ()
    """Each raises Unavailable if something that handlers need, beside the store, cannot be reached.

    Events are pulled only while all of them return."""


ServiceFactory = Callable[[Kit], Service]
"""Builds a service. Raises SettingsError if a variable of its own is missing or malformed."""
