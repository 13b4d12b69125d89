"""One order in the records of every service, for commands that show or compare it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from google.protobuf.message import Message

from contract.messages import to_message
from contract.order_history import OrderSnapshot
from rpc.delivery_pb2 import Shipment as ShipmentMessage
from rpc.payment_pb2 import Charge as ChargeMessage
from rpc.purchase_pb2 import OrderHistoryEntry
from rpc.stock_pb2 import Reservation as ReservationMessage
from sagactl.inspect.records import CorruptEntityError, decode
from sagakit.tables import Entity, Key, Row
from services.delivery.shipment import Shipment
from services.delivery.storage import delivery_key, to_shipment
from services.payment.charge import Charge
from services.payment.storage import payment_key, to_charge
from services.purchase.storage import ticket_key, to_ticket
from services.purchase.ticket import Ticket
from services.stock.inventory import Reservation
from services.stock.storage import reservation_key, to_reservation

T = TypeVar("T")
M = TypeVar("M", bound=Message)
Rows = Mapping[Key, Row]


@dataclass(slots=True)
class OrderRecords:
    """The records of an order at each service; None: it has none, or one that cannot be read."""

    ticket: Ticket | None = None
    reservation: Reservation | None = None
    charge: Charge | None = None
    shipment: Shipment | None = None
    snapshot: OrderSnapshot = OrderSnapshot((), None, None, None, complete=True)
    """The same, for the order's history."""
    corrupt: list[str] = field(default_factory=list)
    """Entities that cannot be read, with field and reason."""


def order_keys(orderid: str) -> list[Key]:
    """Return the keys of the records of an order."""
    return [ticket_key(orderid), reservation_key(orderid), payment_key(orderid), delivery_key(orderid)]


def order_records(orderid: str, rows: Rows) -> OrderRecords:
    """Return the records of an order among those that were looked up."""
    found = OrderRecords()
    history: tuple[OrderHistoryEntry, ...] = ()
    if read := _read(found, rows, ticket_key(orderid), _ticket):
        found.ticket, history = read
    reservation = _read(found, rows, reservation_key(orderid), _with(to_reservation, ReservationMessage))
    charge = _read(found, rows, payment_key(orderid), _with(to_charge, ChargeMessage))
    shipment = _read(found, rows, delivery_key(orderid), _with(to_shipment, ShipmentMessage))
    found.reservation, reserved = reservation or (None, None)
    found.charge, charged = charge or (None, None)
    found.shipment, shipped = shipment or (None, None)
    found.snapshot = OrderSnapshot(history, reserved, charged, shipped, complete=not found.corrupt)
    return found


def _read(found: OrderRecords, rows: Rows, key: Key, read: Callable[[str, Entity], T]) -> T | None:
    row = rows.get(key)
    if row is None:
        return None
    try:
        return decode(key, row.entity, read)
    except CorruptEntityError as error:
        found.corrupt.append(str(error))
        return None


def _ticket(orderid: str, entity: Entity) -> tuple[Ticket, tuple[OrderHistoryEntry, ...]]:
    ticket = to_ticket(orderid, entity)
    if not ticket.history:
        raise ValueError("Ticket.history: it is empty")
    return ticket, tuple(to_message(OrderHistoryEntry, entry) for entry in ticket.history)


def _with(read: Callable[[str, Entity], T], kind: type[M]) -> Callable[[str, Entity], tuple[T, M]]:
    """Return a function to the record and the message that its service would return."""

    def both(orderid: str, entity: Entity) -> tuple[T, M]:
        record = read(orderid, entity)
        return record, to_message(kind, record)

    return both
