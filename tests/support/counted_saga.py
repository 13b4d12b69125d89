"""All services over one set of counted tables, connected by a manual bus."""

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import TypeVar

from contract.reactions import handlers
from contract.tickets import APPROVED, TicketMessage
from contract.topology import TOPOLOGY
from sagakit.events import Event
from sagakit.inbox import Inbox
from sagakit.outbox import Outbox
from sagakit.relay import Relay
from sagakit.runtime import Runtime
from sagakit.store import Store
from sagakit.tables import Delete, Key
from sagakit.testing.tables import CountedTables, MemoryTables
from services.delivery.usecases import REACTIONS as DELIVERY
from services.delivery.usecases import UseCases as Delivery
from services.payment.simulated import SimulatedProvider
from services.payment.usecases import REACTIONS as PAYMENT
from services.payment.usecases import UseCases as Payment
from services.purchase.usecases import UseCases as Purchase
from services.stock.catalogue import Catalogue
from services.stock.shards import ShardHints
from services.stock.usecases import REACTIONS as STOCK
from services.stock.usecases import UseCases as Stock
from tests.support.manual_bus import ManualBus
from tests.support.usecases import REMINDERS, use_cases

U = TypeVar("U")

TOPICS = {service: service for service in TOPOLOGY.names}
"""Each service's topic is named as the service."""


class EntityCounts(CountedTables):
    """Counts entities read, written and deleted, except those of the payment provider."""

    def __init__(self) -> None:
        super().__init__(MemoryTables())
        self.entities: Counter[str] = Counter()

    async def lookup(self, keys):
        self.entities["read"] += sum(map(is_ours, keys))
        return await super().lookup(keys)

    async def commit(self, mutations):
        for mutation in mutations:
            if is_ours(mutation.key):
                self.entities["deleted" if isinstance(mutation, Delete) else "written"] += 1
        await super().commit(mutations)


def is_ours(key: Key) -> bool:
    return not key.kind.startswith("Simulated")


class CountedSaga:
    """The services; the caller delivers what they publish."""

    def __init__(self) -> None:
        self.tables = EntityCounts()
        self.bus = ManualBus()
        self.relays: list[Relay] = []
        hints = ShardHints()
        provider = SimulatedProvider(self.tables, Runtime(), 1_000)
        self.catalogue = use_cases(self.tables, lambda store, *_: Catalogue(store, hints))
        self.purchase = self.service("purchase", Purchase, REMINDERS, 1800, 3600)
        self.handlers = {
            "purchase": self.purchase.handlers(TOPICS),
            "stock": handlers(STOCK, self.service("stock", Stock, REMINDERS, hints), TOPICS),
            "payment": handlers(PAYMENT, self.service("payment", Payment, REMINDERS, provider), TOPICS),
            "delivery": handlers(DELIVERY, self.service("delivery", Delivery), TOPICS),
        }

    def service(self, name: str, build: Callable[..., U], *more: object) -> U:
        """Return use cases with an outbox and inbox of their own."""
        runtime = Runtime()
        outbox = Outbox(f"{name}PublishEvent", runtime)
        relay = Relay(self.tables, self.bus, name, outbox, runtime)
        self.relays.append(relay)
        store = Store(self.tables, outbox, relay, runtime)
        return build(store, Inbox(f"{name}ReceivedEvent", runtime), runtime, *more)

    async def entities_to_approve(self, itemid: str, *, waives_payment: bool) -> Counter[str]:
        """Return the entities of an order for one unit, from checkout to the published approval."""
        await self.catalogue.put_item(itemid, 100, 8, waives_payment, False, 8)
        await self.purchase.create_cart("c")
        await self.purchase.add_item("c", itemid, 1, "x")
        await self.purchase.close_cart("c")
        self.tables.entities.clear()
        await self.purchase.checkout("c")
        while published := await self.published():
            for publisher, event in published:
                if TicketMessage.from_event(event).status == APPROVED:
                    return self.tables.entities
                await self.deliver(publisher, event)
        raise AssertionError("the order was not approved")

    async def deliver(self, publisher: str, event: Event) -> list[str]:
        """Have every subscribed service of the four handle an event once; return their names."""
        receivers = [each for each in self.handlers if publisher in TOPOLOGY.service(each).subscribes_to]
        for service in receivers:
            await self.handlers[service][event.type](event)
        return receivers

    async def published(self) -> list[tuple[str, Event]]:
        """Return the new events on all topics, once the outboxes are empty."""
        running = [asyncio.create_task(relay.run()) for relay in self.relays]
        await asyncio.gather(*(relay.drained() for relay in self.relays))
        for task in running:
            task.cancel()
        batches, self.bus.published = self.bus.published, []
        return [(topic, Event.from_message(message, topic)) for topic, batch in batches for message in batch]
