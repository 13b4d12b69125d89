"""One order's history over all services, composed from their records and from the events they publish.

A service does each thing once for an order, so `service.status` identifies an entry of the history,
whether it became known through an event, a reminder or a record.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from contract.tickets import (
    APPROVED,
    CANCELED,
    DELIVERY_ARRANGED,
    FAILED,
    PAID,
    PAYMENT_FAILED,
    RESERVE_FAILED,
    RESERVED,
    TERMINAL,
    TicketMessage,
    answered_by,
    may_publish,
)
from rpc.delivery_pb2 import Shipment
from rpc.payment_pb2 import Charge
from rpc.purchase_pb2 import OrderHistoryEntry
from rpc.stock_pb2 import Reservation

_DECIDED_BY_STOCK = {"refused": RESERVE_FAILED, "released": "released"}
_DECIDED_BY_PAYMENT = {"declined": PAYMENT_FAILED, "canceled": "canceled"}
CHARGING, CHARGED = "charging", "charged"
"""Statuses of a charge that is still open: the provider is being asked; it has charged."""


@dataclass(frozen=True, slots=True)
class OrderEvent:
    """Something a service did for an order."""

    service: str
    status: str
    time: str
    """RFC 3339, UTC, by the service's clock."""
    amount: int | None = None
    reason: str | None = None
    trace_id: str | None = None
    """The trace it happened in, if known."""

    @property
    def key(self) -> str:
        """Identifies the event within its order."""
        return f"{self.service}.{self.status}"

    @classmethod
    def from_event(
        cls, service: str, ticket: TicketMessage, time: str, trace_id: str | None = None
    ) -> "OrderEvent | None":
        """Return what a published event announces; None if the details are only in the service's records."""
        from_purchase = service == "purchase"
        if not may_publish(service, ticket.status):
            return None
        if from_purchase and ticket.status == RESERVE_FAILED:  # purchase only ever republishes it
            return None
        reason = ticket.reason if not from_purchase or ticket.status == CANCELED else None
        return cls(service, ticket.status, time, None if from_purchase else ticket.amount, reason, trace_id)


@dataclass(frozen=True, slots=True)
class OrderSnapshot:
    """The services' records of one order at one time; None: no record, or the service is unavailable."""

    history: tuple[OrderHistoryEntry, ...]
    reservation: Reservation | None
    charge: Charge | None
    shipment: Shipment | None
    complete: bool
    """Whether every service replied."""

    @property
    def status(self) -> str:
        """The ticket's status."""
        return next(each.status for each in reversed(self.history) if answered_by(each.status) is None)

    @property
    def is_settled(self) -> bool:
        """Whether nothing more will happen: reservation and charge are settled, released or refunded."""
        if self.status == APPROVED:
            return self._holds_nothing and self._has_all_records
        if not self.is_released or self.reservation is None:
            return False
        # Stock and payment record a failure when they receive it; payment does not if stock reported it.
        return self.charge is not None or self.status == RESERVE_FAILED

    @property
    def is_released(self) -> bool:
        """Whether the order has failed, and nothing on record is reserved or charged any more.

        A service without a record may still receive the order's events, or never: if they were lost, none is
        repeated, because nothing waits for a reply.
        """
        return self.status in FAILED and self._holds_nothing

    @property
    def _has_all_records(self) -> bool:
        """Whether each service has the record that an approved order has.

        Services answer at different moments: one without the record may have answered before it was made.
        """
        if self.reservation is None or self.shipment is None:
            return False
        return self.reservation.waives_payment or self.charge is not None

    @property
    def _holds_nothing(self) -> bool:
        charged = self.charge is not None and self.charge.status in {CHARGING, CHARGED}
        reserved = self.reservation is not None and self.reservation.status == "reserved"
        return self.complete and not charged and not reserved

    def events(self) -> list[OrderEvent]:
        """Return everything on record, by time."""
        found: dict[str, OrderEvent] = {}
        for event in (*self._of_stock(), *self._of_payment(), *self._of_delivery(), *self._of_purchase()):
            found.setdefault(event.key, event)
        return sorted(found.values(), key=lambda event: event.time)

    @property
    def _checkout_trace(self) -> str | None:
        """The trace of the checkout, which the services' first replies belong to."""
        return self.history[0].trace_id or None if self.history else None

    @property
    def _final_trace(self) -> str | None:
        """The trace of the terminal status, which settling belongs to: a cancellation has its own."""
        last = next((each for each in reversed(self.history) if each.status in TERMINAL), None)
        return (last and last.trace_id) or None

    def _of_purchase(self) -> Iterator[OrderEvent]:
        for each in self.history:
            # Another service's report stands in for its event while that service is unavailable.
            service = "stock" if each.status == RESERVED else answered_by(each.status) or "purchase"
            reason = each.cause if each.status == CANCELED else None
            yield OrderEvent(service, each.status, each.time, reason=reason, trace_id=each.trace_id or None)

    def _of_stock(self) -> Iterator[OrderEvent]:
        record = self.reservation
        if record is None:
            return
        settled = record.HasField("settled_time")
        reason = record.reason if record.HasField("reason") else None
        if not settled and record.status in _DECIDED_BY_STOCK:
            trace_id = self._checkout_trace if record.status == "refused" else self._final_trace
            status = _DECIDED_BY_STOCK[record.status]
            yield OrderEvent("stock", status, record.time, reason=reason, trace_id=trace_id)
        elif record.waives_payment:
            yield OrderEvent("stock", PAID, record.time, trace_id=self._checkout_trace)
        else:
            amount = record.amount if record.HasField("amount") else None
            yield OrderEvent("stock", RESERVED, record.time, amount, trace_id=self._checkout_trace)
        if settled:
            yield OrderEvent("stock", record.status, record.settled_time, trace_id=self._final_trace)

    def _of_payment(self) -> Iterator[OrderEvent]:
        record = self.charge
        # An intention is no event: it is neither published nor kept.
        if record is None or record.status == CHARGING:
            return
        settled = record.HasField("settled_time")
        amount = record.amount if record.HasField("amount") else None
        reason = record.reason if record.HasField("reason") else None
        first = PAID if settled else _DECIDED_BY_PAYMENT.get(record.status, PAID)
        trace_id = self._final_trace if first == "canceled" else self._checkout_trace
        yield OrderEvent("payment", first, record.time, amount, reason, trace_id)
        if settled:
            yield OrderEvent("payment", record.status, record.settled_time, trace_id=self._final_trace)

    def _of_delivery(self) -> Iterator[OrderEvent]:
        if self.shipment is not None:
            time, trace_id = self.shipment.time, self._checkout_trace
            yield OrderEvent("delivery", DELIVERY_ARRANGED, time, trace_id=trace_id)
