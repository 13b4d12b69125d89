"""The promises that hold in every state of the world, and the end of an order."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from contract.tickets import APPROVED, FAILED
from sagakit.tables import Entity, Key
from services.delivery.storage import delivery_key
from services.payment.charge import CANCELED, DECLINED, SETTLED
from services.payment.simulated import LEDGER, Entry, to_entry
from services.payment.storage import payment_key, to_charge
from services.purchase.storage import TICKET, to_ticket
from services.stock.inventory import RESERVED, SOLD, Shard
from services.stock.storage import (
    ITEM,
    RESERVATION,
    SHARD,
    reservation_key,
    shard_key,
    to_reservation,
    to_shard,
)
from tests.model.world import State, World

Records = Mapping[Key, Entity]


class Promises:
    """Checks states of a world; records that were checked before are remembered."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._checked: dict[tuple[int, ...], tuple[str | None, bool]] = {}

    def violation(self, state: State) -> str | None:
        """Return the promise that the state violates, or None."""
        if broken := self._check(state)[0]:
            return broken
        answered = Counter((service, orderid) for service, orderid, _ in self._world.answers(state))
        for (service, orderid), count in answered.items():
            if count > 1:
                return f"{service} has given {count} different answers about {orderid}"
        return None

    def is_end(self, state: State) -> bool:
        """Return whether every order has ended, and everything about it is settled."""
        return not state.running and self._check(state)[1]

    def _check(self, state: State) -> tuple[str | None, bool]:
        if state.records not in self._checked:
            records = self._world.records(state)
            orders = [_Order.of(records, key.name) for key in records if key.kind == TICKET]
            broken = [_units(records), *(order.violation() for order in orders)]
            ended = all(order.is_settled() for order in orders)
            self._checked[state.records] = next(filter(None, broken), None), ended
        return self._checked[state.records]


@dataclass(frozen=True, slots=True)
class _Order:
    """An order in the records of all services."""

    status: str
    has_delivery: bool
    is_delivery_recorded: bool
    reservation: str | None
    charge: str | None
    price: int
    entry: Entry

    @classmethod
    def of(cls, records: Records, orderid: str) -> "_Order":
        ticket = to_ticket(orderid, records[Key(TICKET, orderid)])
        reserved, charge = records.get(reservation_key(orderid)), records.get(payment_key(orderid))
        reservation = None if reserved is None else to_reservation(orderid, reserved)
        return cls(
            ticket.status,
            delivery_key(orderid) in records,
            ticket.delivery_arranged,
            reservation and reservation.status,
            None if charge is None else to_charge(orderid, charge).status,
            (reservation and reservation.amount) or 0,
            to_entry(records.get(Key(LEDGER, orderid), {})),
        )

    def violation(self) -> str | None:
        """Return what must not be so."""
        broken = {
            "more is refunded than was charged": self.entry.refunded > self.entry.charged,
            "more than its price is charged": self.entry.charged > self.price,
            "its delivery is arranged": self.has_delivery and self.status != APPROVED,
            "its units are sold": self.reservation == SOLD and self.status != APPROVED,
            "its charge is settled": self.charge == SETTLED and self.status != APPROVED,
            "its reservation is not kept": self.status == APPROVED
            and self.reservation not in {RESERVED, SOLD},
            "its charge is refunded": self.status == APPROVED and self.entry.canceled,
        }
        return next((f"the order is {self.status}: {what}" for what, is_so in broken.items() if is_so), None)

    def is_settled(self) -> bool:
        """Return whether it has ended, and no service has anything left to do for it."""
        kept = self.entry.charged - self.entry.refunded
        if self.status == APPROVED:
            is_paid = self.charge == SETTLED or (self.charge is None and not kept)
            return self.reservation == SOLD and is_paid and self.is_delivery_recorded
        is_undone = self.reservation != RESERVED and self.charge in {None, DECLINED, CANCELED}
        return self.status in FAILED and is_undone and not kept


def _units(records: Records) -> str | None:
    items: dict[str, Shard] = {}
    held = _held(records)
    for key, entity in records.items():
        if key.kind == SHARD:
            shard = to_shard(entity)
            if min(shard.available, shard.reserved, shard.sold) < 0:
                return f"shard {key.name} has a negative count"
            if (shard.reserved, shard.sold) != (held[key, RESERVED], held[key, SOLD]):
                return f"shard {key.name} does not have the units of its orders"
            itemid = key.name.partition(":")[0]
            items[itemid] = items.get(itemid, Shard()) + shard
    for itemid, units in items.items():
        if units.available + units.reserved + units.sold != records[Key(ITEM, itemid)]["stock"]:
            return f"the shards of {itemid} do not sum up to its stock"
    return None


def _held(records: Records) -> Counter[tuple[Key, str]]:
    """Return the units of each shard that orders have, by the status of their reservation."""
    held: Counter[tuple[Key, str]] = Counter()
    for key, entity in records.items():
        if key.kind == RESERVATION:
            reservation = to_reservation(key.name, entity)
            for each in reservation.allocations:
                held[shard_key(each.itemid, each.shard), reservation.status] += each.count
    return held
