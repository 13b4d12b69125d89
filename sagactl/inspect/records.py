"""The records of all services and the payment provider's ledger, read for an audit."""

from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass, field
from typing import TypeVar

from contract.tickets import CartItem
from contract.topology import TOPOLOGY
from sagakit.errors import Poison
from sagakit.outbox import outbox_kind
from sagakit.tables import Entity, Key, Tables
from services.delivery.storage import DELIVERY, to_shipment
from services.payment.simulated import LEDGER, to_entry
from services.payment.storage import PAYMENT, to_charge
from services.purchase.storage import TICKET, to_ticket
from services.stock.inventory import Allocation, Item, Reservation, Shard
from services.stock.storage import ITEM, RESERVATION, SHARD, to_item, to_reservation, to_shard

T = TypeVar("T")

PAGE = 300

Units = tuple[tuple[str, int], ...]
"""Units by itemid, sorted."""


class CorruptEntityError(Exception):
    """A stored entity cannot be read. The message names the entity, and the field and reason if known."""


@dataclass(slots=True)
class Order:
    """An order in the records of each service; None where there is no record."""

    ticket: str | None = None
    """Status of the ticket."""
    awaits_reply: bool = False
    ordered: Units = ()
    amount: int | None = None
    reservation: str | None = None
    reserved: Units = ()
    """Units that were allocated, sold and released ones included."""
    price: int | None = None
    """Amount of the reservation; None if payment is waived."""
    payment: str | None = None
    shipped: Units | None = None
    charged: int = 0
    refunded: int = 0
    is_corrupt: bool = False
    """Whether one of its records cannot be read."""


@dataclass(slots=True)
class Records:
    """All records, reduced to what an audit compares."""

    orders: dict[str, Order] = field(default_factory=lambda: defaultdict(Order))
    items: dict[str, Item] = field(default_factory=dict)
    shards: dict[tuple[str, int], Shard] = field(default_factory=dict)
    allocated: Counter[tuple[str, int, str]] = field(default_factory=Counter)
    """Units that reservations hold, by itemid, shard and status of the reservation."""
    outboxes: Counter[str] = field(default_factory=Counter)
    """Unpublished events, by service."""
    corrupt: list[str] = field(default_factory=list)
    """Entities that cannot be read, with field and reason."""


def decode(key: Key, entity: Entity, read: Callable[[str, Entity], T]) -> T:
    """Return what `read` makes of a stored entity. Raises CorruptEntityError if it cannot."""
    try:
        return read(key.name, entity)
    except Poison as error:
        why = error.reason.removeprefix("corrupt-entity: ")
        raise CorruptEntityError(f"{key.kind} {key.name}: {why}") from error
    except (ArithmeticError, LookupError, TypeError, ValueError) as error:
        raise CorruptEntityError(f"{key.kind} {key.name}: {type(error).__name__}: {error}") from error


async def load_records(tables: Tables) -> Records:
    """Read the records kind by kind. They agree with each other only while no order is in progress."""
    return await _Loader(tables).load()


class _Loader:
    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self._records = Records()
        self._units: dict[Units, Units] = {}
        """Each combination once: most of an order's records name the same units, and so do other orders."""

    async def load(self) -> Records:
        records = self._records
        await self._load_orders()
        async for itemid, item in self._each(ITEM, to_item):
            records.items[itemid] = item
        async for _, (number, shard) in self._each(SHARD, _read_shard):
            records.shards[number] = shard
        for service in TOPOLOGY.topics:
            async for _ in every(self._tables, outbox_kind(service)):
                records.outboxes[service] += 1
        return records

    async def _load_orders(self) -> None:
        orders = self._records.orders
        async for orderid, ticket in self._each(TICKET, to_ticket):
            order = orders[orderid]
            order.ticket, order.awaits_reply, order.amount = ticket.status, ticket.awaits_reply, ticket.amount
            order.ordered = self._interned(ticket.items)
        async for orderid, reservation in self._each(RESERVATION, to_reservation):
            self._add_reservation(orders[orderid], reservation)
        async for orderid, charge in self._each(PAYMENT, to_charge):
            orders[orderid].payment = charge.status
        async for orderid, shipment in self._each(DELIVERY, to_shipment):
            orders[orderid].shipped = self._interned(shipment.items)
        async for orderid, entry in self._each(LEDGER, lambda _, entity: to_entry(entity)):
            orders[orderid].charged, orders[orderid].refunded = entry.charged, entry.refunded

    def _add_reservation(self, order: Order, reservation: Reservation) -> None:
        order.reservation, order.reserved = reservation.status, self._interned(reservation.allocations)
        order.price = None if reservation.waives_payment else reservation.amount
        for each in reservation.allocations:
            self._records.allocated[each.itemid, each.shard, reservation.status] += each.count

    async def _each(self, kind: str, read: Callable[[str, Entity], T]) -> AsyncIterator[tuple[str, T]]:
        async for name, entity in every(self._tables, kind):
            try:
                found = decode(Key(kind, name), entity, read)
            except CorruptEntityError as error:
                self._records.corrupt.append(str(error))
                if kind not in {ITEM, SHARD}:
                    self._records.orders[name].is_corrupt = True
            else:
                yield name, found

    def _interned(self, items: Iterable[CartItem | Allocation]) -> Units:
        counts: Counter[str] = Counter()
        for each in items:
            counts[each.itemid] += each.count
        units = tuple(sorted(counts.items()))
        return self._units.setdefault(units, units)


def _read_shard(name: str, entity: Entity) -> tuple[tuple[str, int], Shard]:
    itemid, _, number = name.rpartition(":")
    return (itemid, int(number)), to_shard(entity)


async def every(tables: Tables, kind: str) -> AsyncIterator[tuple[str, Entity]]:
    """Yield all entities of a kind with their names, reading a page at a time."""
    after = ""
    while page := await tables.page(kind, after, PAGE):
        for key, row in page:
            yield key.name, row.entity
        after = page[-1][0].name
