"""What a service is made of: what it reads from its environment, what it is built on, what it adds."""

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
from sagakit.telemetry.logging import LogSettings
from sagakit.telemetry.overdue import WaitingSince


@dataclass(frozen=True, slots=True)
class ServiceSettings:
    """What every event-driven service reads from its environment."""

    backend: BackendSettings
    publish_topic: str
    subscribe_topics: tuple[str, ...]
    dead_letter_topic: str
    host: str
    port: int
    logs: LogSettings
    production: bool
    drain_delay_seconds: float
    """How long a service that is told to stop goes on serving, until balancers have noticed."""
    sweep_seconds: float
    schedule: ReminderSchedule
    environ: Mapping[str, str]
    """Where the service finds settings of its own."""
    auth: AuthSettings | None = None
    """Whose tokens are believed; None: nobody signs in."""
    metrics_port: int | None = None
    """Where metrics can be had; None: nothing is measured."""

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> "ServiceSettings":
        """Raises SettingsError for the first variable that is missing or malformed."""
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
    """What a service is built on."""

    store: Store
    inbox: Inbox
    runtime: Runtime
    schedule: ReminderSchedule
    tables: Tables
    """What the store is built on, for whatever keeps books of its own."""
    environ: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Service:
    """What a service adds to the kit."""

    servicers: Sequence[Callable[[Any], None]]
    """Each registers itself with the gRPC server it is given."""
    reflection_names: Sequence[str]
    """The full names of its gRPC services."""
    handlers: Mapping[str, Handler]
    """By event type."""
    reminders: Mapping[str, RemindFn] = field(default_factory=dict)
    """By the kind of what may wait for an answer."""
    waiting_since: Mapping[str, WaitingSince] = field(default_factory=dict)
    """By the same kinds, since when it waits; without, it counts from when it is first found waiting."""
    health_checks: Sequence[Callable[[], Awaitable[None]]] = ()
    """Each raises Unavailable while something the handlers need, beside the store, is away."""


ServiceFactory = Callable[[Kit], Service]
"""Builds a service; raises SettingsError where its environment does not do."""
