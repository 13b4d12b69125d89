"""The records of all services and the payment provider's ledger, read for an audit."""

from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from contract.tickets import CartItem
from sagakit.errors import Poison
from sagakit.tables import Entity, Key, Tables
from services.delivery.shipment import Shipment
from services.delivery.storage import DELIVERY, to_shipment
from services.payment.charge import Charge
from services.payment.simulated import LEDGER, Entry, to_entry
from services.payment.storage import PAYMENT, to_charge
from services.purchase.storage import TICKET, to_ticket
from services.purchase.ticket import Ticket
from services.stock.inventory import Allocation, Item, Reservation, Shard
from services.stock.storage import ITEM, RESERVATION, SHARD, to_item, to_reservation, to_shard

T = TypeVar("T")

PAGE = 300
ORDER_KINDS = (TICKET, RESERVATION, PAYMENT, DELIVERY, LEDGER)
"""The kinds whose entities are named by orderids."""

Units = tuple[tuple[str, int], ...]
"""Units by itemid, sorted."""


class CorruptEntityError(Exception):
    """A stored entity cannot be read. The message names the entity, and the field and reason if known."""


@dataclass(slots=True)
class Order:
    """An order in the records of each service; None where there is no record."""

    ticket: str | None = None
    """Status of the ticket."""
    opened_at: float = field(default=0.0, compare=False)
    """Time of the checkout (seconds since the epoch); 0 without a ticket."""
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
    loader = _Loader()
    for kind in (*ORDER_KINDS, ITEM, SHARD):
        async for name, entity in every(tables, kind):
            loader.add(Key(kind, name), entity)
    return loader.records


def order_records_of(orderid: str, entities: Mapping[str, Entity]) -> Records:
    """Return the records of one order, whose entities are given by their kind."""
    loader = _Loader()
    for kind, entity in entities.items():
        loader.add(Key(kind, orderid), entity)
    return loader.records


class _Loader:
    def __init__(self) -> None:
        self.records = Records()
        self._units: dict[Units, Units] = {}
        """Each combination once: most of an order's records name the same units, and so do other orders."""
        self._kinds: Mapping[str, tuple[Callable[[str, Entity], Any], Callable[[str, Any], None]]] = {
            TICKET: (to_ticket, self._add_ticket),
            RESERVATION: (to_reservation, self._add_reservation),
            PAYMENT: (to_charge, self._add_charge),
            DELIVERY: (to_shipment, self._add_shipment),
            LEDGER: (lambda _, entity: to_entry(entity), self._add_entry),
            ITEM: (to_item, self.records.items.__setitem__),
            SHARD: (_read_shard, lambda _, found: self.records.shards.__setitem__(*found)),
        }

    def add(self, key: Key, entity: Entity) -> None:
        """Add what the entity records, or that it is corrupt."""
        read, add = self._kinds[key.kind]
        try:
            found = decode(key, entity, read)
        except CorruptEntityError as error:
            self.records.corrupt.append(str(error))
            if key.kind in ORDER_KINDS:
                self.records.orders[key.name].is_corrupt = True
        else:
            add(key.name, found)

    def _add_ticket(self, orderid: str, ticket: Ticket) -> None:
        order = self.records.orders[orderid]
        order.ticket, order.awaits_reply, order.amount = ticket.status, ticket.awaits_reply, ticket.amount
        order.ordered = self._interned(ticket.items)
        order.opened_at = ticket.opened_at if ticket.history else 0.0

    def _add_reservation(self, orderid: str, reservation: Reservation) -> None:
        order = self.records.orders[orderid]
        order.reservation, order.reserved = reservation.status, self._interned(reservation.allocations)
        order.price = None if reservation.waives_payment else reservation.amount
        for each in reservation.allocations:
            self.records.allocated[each.itemid, each.shard, reservation.status] += each.count

    def _add_charge(self, orderid: str, charge: Charge) -> None:
        self.records.orders[orderid].payment = charge.status

    def _add_shipment(self, orderid: str, shipment: Shipment) -> None:
        self.records.orders[orderid].shipped = self._interned(shipment.items)

    def _add_entry(self, orderid: str, entry: Entry) -> None:
        order = self.records.orders[orderid]
        order.charged, order.refunded = entry.charged, entry.refunded

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
