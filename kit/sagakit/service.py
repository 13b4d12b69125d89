"""Declares a service: its settings, the kit it is built on, and the parts that it adds."""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sagakit.event_types import EventType, Handlers
from sagakit.ignored import Ignored
from sagakit.inbox import Inbox
from sagakit.reminders import ReminderSchedule, RemindFn
from sagakit.runtime import Runtime
from sagakit.store import Store
from sagakit.tables import Tables
from sagakit.tasks import Task
from sagakit.telemetry.instruments import NO_METRICS, Metrics
from sagakit.telemetry.overdue import WaitingSince


@dataclass(frozen=True, slots=True)
class Kit:
    """The parts that a service is built with: its store, inbox, clocks and settings."""

    store: Store
    """The service's entities, committed together with the events it publishes."""
    inbox: Inbox
    """Applies each event, by its eventid, at most once."""
    runtime: Runtime
    """Time, randomness and ids."""
    schedule: ReminderSchedule
    """When the reminders of an entity are due."""
    tables: Tables
    """The database under the store, for tables that are not part of the service's transactions."""
    subscribe_topics: Sequence[str]
    """The topics that the service receives events from, if any; each event has the one that it came from."""
    environ: Mapping[str, str]
    """For settings of the service's own."""
    metrics: Metrics = NO_METRICS
    """Creates instruments of the service's own."""


@dataclass(frozen=True, slots=True)
class Service:
    """The parts of a service, each of which it may do without. Everything is wired and run by the kit."""

    servicers: Sequence[Callable[[Any], None]] = ()
    """Each is called with the gRPC server, and registers a servicer with it."""
    reflection_names: Sequence[str] = ()
    """The full names of its gRPC services, for reflection."""
    handlers: Handlers = field(default_factory=dict)
    """By `EventType`, or by the name of an event type. Events of other types are acknowledged and ignored.

    See `Handler` for the contract. With any, EVENT_SUBSCRIBE_TOPICS must be set."""
    ignores: Mapping[str, Ignored] = field(default_factory=dict)
    """By topic, the events that its handlers would ignore: they are acknowledged before they are decoded."""
    publishes: Collection[str | EventType[Any]] = ()
    """The event types, or their names, that it publishes; with any, EVENT_PUBLISH_TOPIC must be set."""
    dead_letter_reasons: Collection[str] = ()
    """Reasons of Poison that its handlers raise, up to a colon: values of the metric's attribute `reason`,
    beside those of the application."""
    reminders: Mapping[str, RemindFn] = field(default_factory=dict)
    """By the kind of entities that may wait for a reply."""
    waiting_since: Mapping[str, WaitingSince] = field(default_factory=dict)
    """By the same kinds, for metrics. Without it, an entity waits since its first reminder."""
    health_checks: Sequence[Callable[[], Awaitable[None]]] = ()
    """Each raises Unavailable if something that handlers need, beside the store, cannot be reached.

    Events are pulled only while all of them return. One that takes more than 10 s has failed, and one that
    raises anything else, too; that is logged as a defect."""
    tasks: Mapping[str, Task] = field(default_factory=dict)
    """Work beside the events, such as `SideEffects.run`, by a name for logs and metrics."""


ServiceFactory = Callable[[Kit], Service]
"""Builds a service. Raises SettingsError if a variable of its own is missing or malformed."""
