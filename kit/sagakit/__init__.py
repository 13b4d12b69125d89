"""sagakit: event-driven services with a transactional outbox, an inbox and reminders.

A service declares its parts as a `Service`, built from a `Kit`, and runs with `sagakit.run.main`, which
documents what it reads from the environment, its exit codes and the signals it handles. Backends and
provisioning are in `sagakit.backends`. Everything named here is public; other modules may change.

| to…                                         | see                                              |
|---------------------------------------------|--------------------------------------------------|
| declare a service                           | `Service`, `ServiceFactory`, `Kit`, `Application`|
| handle an event                             | `Handler`, `Outcome`, `Event`                    |
| ignore events without decoding them         | `Ignored`                                        |
| declare the events that services exchange   | `EventType`, `BodyCodec`                         |
| describe them for machines (AsyncAPI)       | `asyncapi.document`                              |
| read and write in one transaction           | `Store`, `Snapshot`, `Changes`, `Key`, `Entity`  |
| store dataclasses as entities               | `to_entity`, `from_entity`, `Stored`             |
| convert stored entities into a new shape    | `Migration`, `migrate`                           |
| apply an event or command once              | `Inbox`                                          |
| publish again until a reply arrives         | `RemindFn`, `ReminderSchedule`, `due_property`   |
| call another system in a saga               | `SideEffects`                                    |
| work beside the events, in the background   | `Task`                                           |
| check stored records (`sagactl audit`)      | `Audit`, `AuditReport`                           |
| publish again what a new service has missed | `Backfill`                                       |
| report an error                             | `SagaError` and its subclasses                   |
| read settings of its own                    | `settings.read`, `.variable`, `.CONFIG`          |
| have metrics of its own                     | `Metrics`, `Counter`, `Gauge`, `Histogram`       |
| say since when an entity waits, for metrics | `WaitingSince`                                   |
| use time, randomness and ids in tests too   | `Runtime`, `Backoff`                             |
| declare all services, topics, subscriptions | `Topology`, `ServiceDeclaration`                 |
| describe topics and subscriptions           | `SubscriptionSpec`, `subscription_name`          |
"""

from sagakit import asyncapi, settings
from sagakit.application import Application
from sagakit.audits import Audit, AuditReport
from sagakit.backfill import Backfill
from sagakit.bus import Bus, Message, Provisioner, SubscriptionSpec, subscription_name
from sagakit.codec import Stored, from_entity, to_entity
from sagakit.consumer import Handler, Outcome
from sagakit.errors import (
    Contention,
    FailedPrecondition,
    Forbidden,
    InvalidArgument,
    NotFound,
    OutcomeUnknown,
    Poison,
    Rejected,
    SagaError,
    Unauthenticated,
    Unavailable,
)
from sagakit.event_types import BodyCodec, EventType
from sagakit.events import Event, published_at, timestamp
from sagakit.ignored import Ignored
from sagakit.inbox import Inbox
from sagakit.migrations import Migrated, Migration, migrate
from sagakit.reminders import ReminderSchedule, RemindFn, due_property
from sagakit.runtime import Backoff, Runtime
from sagakit.service import Kit, Service, ServiceFactory
from sagakit.settings import BackendSettings, ServiceSettings, SettingsError
from sagakit.side_effects import SideEffects
from sagakit.store import Changes, Decide, NoTopicError, Snapshot, Store
from sagakit.tables import Entity, Key, Tables
from sagakit.tasks import Task
from sagakit.telemetry.instruments import Counter, Gauge, Histogram, Metrics
from sagakit.telemetry.overdue import WaitingSince
from sagakit.topology import ServiceDeclaration, Topology

__all__ = [
    "Application",
    "Audit",
    "AuditReport",
    "BackendSettings",
    "Backfill",
    "Backoff",
    "BodyCodec",
    "Bus",
    "Changes",
    "Contention",
    "Counter",
    "Decide",
    "Entity",
    "Event",
    "EventType",
    "FailedPrecondition",
    "Forbidden",
    "Gauge",
    "Handler",
    "Histogram",
    "Ignored",
    "Inbox",
    "InvalidArgument",
    "Key",
    "Kit",
    "Message",
    "Metrics",
    "Migrated",
    "Migration",
    "NoTopicError",
    "NotFound",
    "Outcome",
    "OutcomeUnknown",
    "Poison",
    "Provisioner",
    "Rejected",
    "RemindFn",
    "ReminderSchedule",
    "Runtime",
    "SagaError",
    "Service",
    "ServiceDeclaration",
    "ServiceFactory",
    "ServiceSettings",
    "SettingsError",
    "SideEffects",
    "Snapshot",
    "Store",
    "Stored",
    "SubscriptionSpec",
    "Tables",
    "Task",
    "Topology",
    "Unauthenticated",
    "Unavailable",
    "WaitingSince",
    "asyncapi",
    "due_property",
    "from_entity",
    "migrate",
    "published_at",
    "settings",
    "subscription_name",
    "timestamp",
    "to_entity",
]
