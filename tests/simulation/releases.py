"""The backend of a process in the shop's simulation, which may be of a newer release."""

from collections.abc import Callable, Sequence
from functools import partial

from contract.topology import TOPOLOGY
from sagakit.backends import Backend
from sagakit.bus import Bus, Delivery, Message, Subscription
from sagakit.tables import Mutation, Tables
from tests.simulation.observer import Observer
from tests.support.newer_release import NEW_STATUS, NewerRelease

WITHOUT_NEW_STATUS = "delivery"
"""The service whose newer replicas do not know NEW_STATUS either: they are not yet deployed."""


def observed(backend: Backend, service: str, observer: Observer, release: NewerRelease | None) -> Backend:
    """Return the backend of a process. `release`: the newer one that it is of; None: this version."""
    tables = backend.tables if release is None else ExtendedTables(backend.tables, release)
    return Backend(tables, ObservedBus(backend.bus, service, observer, release))


class ExtendedTables:
    """Adds a newer release's properties to what is written."""

    def __init__(self, tables: Tables, release: NewerRelease) -> None:
        self._tables = tables
        self._release = release
        self.lookup = tables.lookup
        self.due = tables.due
        self.page = tables.page
        self.expire = tables.expire

    async def commit(self, mutations: Sequence[Mutation]) -> None:
        await self._tables.commit(self._release.commit(mutations))


class ObservedDelivery:
    """Calls `acknowledged` when it is acknowledged."""

    def __init__(self, delivery: Delivery, acknowledged: Callable[[], None]) -> None:
        self.message = delivery.message
        self.attempt = delivery.attempt
        self.nack = delivery.nack
        self._delivery = delivery
        self._acknowledged = acknowledged

    def ack(self) -> None:
        self._acknowledged()
        self._delivery.ack()


class ObservedBus:
    """Notes what is acknowledged. A newer release adds its properties, and applies events with NEW_STATUS."""

    def __init__(self, bus: Bus, service: str, observer: Observer, release: NewerRelease | None) -> None:
        self._bus = bus
        self._observer = observer
        self._release = release
        self._knows_new_status = release is not None and service != WITHOUT_NEW_STATUS
        self.subscription_problem = bus.subscription_problem

    async def publish(self, topic: str, messages: Sequence[Message]) -> None:
        if self._release is not None and topic != TOPOLOGY.dead_letter_topic:
            messages = [self._release.message(each) for each in messages]
        await self._bus.publish(topic, messages)

    def subscribe(self, name: str, receive: Callable[[Delivery], None], max_outstanding: int) -> Subscription:
        def received(delivery: Delivery) -> None:
            attempt = None if self._knows_new_status else delivery.attempt
            acknowledged = partial(self._observer.acknowledged, name, delivery.message, attempt)
            noted = ObservedDelivery(delivery, acknowledged)
            if self._knows_new_status and NEW_STATUS.encode() in delivery.message.data:
                noted.ack()
            else:
                receive(noted)

        return self._bus.subscribe(name, received, max_outstanding)
