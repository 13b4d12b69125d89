"""What has happened to an order, over all services: put together from their records and from what they say.

A move is one service's word for what it did, and each service says each of its words once for an order.
So a word names a move, whoever tells of it: the service's event, its repetition, or its record.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from contract.tickets import (
    APPROVED,
    CANCELED,
    DELIVERY_ARRANGED,
    PAID,
    PAYMENT_FAILED,
    PRE_APPROVED,
    RESERVE_FAILED,
    RESERVED,
    TicketMessage,
)
from rpc.delivery_pb2 import Shipment
from rpc.payment_pb2 import Charge
from rpc.purchase_pb2 import OrderHistoryEntry
from rpc.stock_pb2 import Reservation

SAYS = {
    "purchase": frozenset({PRE_APPROVED, APPROVED, PAYMENT_FAILED, CANCELED}),
    "stock": frozenset({RESERVED, RESERVE_FAILED, PAID}),
    "payment": frozenset({PAID, PAYMENT_FAILED}),
    "delivery": frozenset({DELIVERY_ARRANGED}),
}
"""The words that each service publishes; its other moves are in its records alone."""
FAILED = frozenset({RESERVE_FAILED, PAYMENT_FAILED, CANCELED})
ENDED = FAILED | {APPROVED}
"""The statuses with which a ticket has ended: there is nothing left to decide."""

_FIRST_SAID_BY = {RESERVED: "stock", DELIVERY_ARRANGED: "delivery"}
_DECIDED_BY_STOCK = {"refused": RESERVE_FAILED, "released": "released"}
_DECIDED_BY_PAYMENT = {"declined": PAYMENT_FAILED, "canceled": "canceled"}


@dataclass(frozen=True, slots=True)
class Move:
    """What a service did about an order."""

    service: str
    status: str
    time: str
    """RFC 3339, UTC, by the clock of the service."""
    amount: int | None = None
    reason: str | None = None
    trace_id: str | None = None
    """The trace it happened in, as far as it was traced."""

    @property
    def word(self) -> str:
        """Names the move among those of its order."""
        return f"{self.service}.{self.status}"


@dataclass(frozen=True, slots=True)
class Records:
    """What the services have on record about an order; None: nothing, or it could not be found out."""

    history: tuple[OrderHistoryEntry, ...]
    reservation: Reservation | None
    charge: Charge | None
    shipment: Shipment | None
    complete: bool
    """Whether every service was heard."""

    @property
    def status(self) -> str:
        """The ticket's."""
        return next(each.status for each in reversed(self.history) if each.status != DELIVERY_ARRANGED)

    @property
    def at_rest(self) -> bool:
        """Whether nothing more will happen: everything that was taken is sold or given back."""
        if not self.complete or self.status not in ENDED:
            return False
        charged = self.charge is not None and self.charge.status == "charged"
        reserved = self.reservation is not None and self.reservation.status == "reserved"
        if charged or reserved:
            return False
        if self.status == APPROVED:
            return self.shipment is not None
        # Whoever has heard of the failure has it on record, unless stock, which said so, was all there was.
        return self.reservation is not None and (self.charge is not None or self.status == RESERVE_FAILED)

    def moves(self) -> list[Move]:
        """Everything on record, in the order it happened."""
        found: dict[str, Move] = {}
        for move in (*self._of_stock(), *self._of_payment(), *self._of_delivery(), *self._of_purchase()):
            found.setdefault(move.word, move)
        return sorted(found.values(), key=lambda move: move.time)

    @property
    def _asked_in(self) -> str | None:
        """The trace of what services were first asked for: all their answers are part of it."""
        return self.history[0].trace_id or None

    @property
    def _ended_in(self) -> str | None:
        """The trace of what ended the order, and has services settle: that of a cancellation is another."""
        last = next((each for each in reversed(self.history) if each.status in ENDED), None)
        return (last and last.trace_id) or None

    def _of_purchase(self) -> Iterator[Move]:
        for each in self.history:
            # What others said first is their move; the history knows of it where they cannot be asked.
            service = _FIRST_SAID_BY.get(each.status, "purchase")
            reason = each.cause if each.status == CANCELED else None
            yield Move(service, each.status, each.time, reason=reason, trace_id=each.trace_id or None)

    def _of_stock(self) -> Iterator[Move]:
        record = self.reservation
        if record is None:
            return
        settled = record.HasField("settled_time")
        reason = record.reason if record.HasField("reason") else None
        if not settled and record.status in _DECIDED_BY_STOCK:
            trace_id = self._asked_in if record.status == "refused" else self._ended_in
            word = _DECIDED_BY_STOCK[record.status]
            yield Move("stock", word, record.time, reason=reason, trace_id=trace_id)
        elif record.waives_payment:
            yield Move("stock", PAID, record.time, trace_id=self._asked_in)
        else:
            amount = record.amount if record.HasField("amount") else None
            yield Move("stock", RESERVED, record.time, amount, trace_id=self._asked_in)
        if settled:
            yield Move("stock", record.status, record.settled_time, trace_id=self._ended_in)

    def _of_payment(self) -> Iterator[Move]:
        record = self.charge
        if record is None:
            return
        settled = record.HasField("settled_time")
        amount = record.amount if record.HasField("amount") else None
        reason = record.reason if record.HasField("reason") else None
        first = PAID if settled else _DECIDED_BY_PAYMENT.get(record.status, PAID)
        trace_id = self._ended_in if first == "canceled" else self._asked_in
        yield Move("payment", first, record.time, amount, reason, trace_id)
        if settled:
            yield Move("payment", record.status, record.settled_time, trace_id=self._ended_in)

    def _of_delivery(self) -> Iterator[Move]:
        if self.shipment is not None:
            yield Move("delivery", DELIVERY_ARRANGED, self.shipment.time, trace_id=self._asked_in)


def heard(service: str, ticket: TicketMessage, time: str, trace_id: str | None = None) -> Move | None:
    """The move that an event announces; None where it only hints that something is to be found on record."""
    if ticket.status not in SAYS[service]:
        return None
    reason = ticket.reason if service != "purchase" or ticket.status == CANCELED else None
    amount = ticket.amount if service != "purchase" else None
    return Move(service, ticket.status, time, amount, reason, trace_id)
