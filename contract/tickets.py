"""The order-ticket event of the wire contract: attributes `eventid` and `type`, body the ticket as JSON."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from contract.fields import MAX_AMOUNT, MAX_COUNT, checked_id, checked_int
from contract.topology import TOPOLOGY
from sagakit.codec import Stored, to_entity
from sagakit.errors import InvalidArgument, Poison
from sagakit.events import REMINDER_ATTRIBUTE, Event, timestamp
from sagakit.untrusted import parse_json

ORDER_TICKET = "purchase.OrderTicket"
STATUS_ATTRIBUTE = "status"
"""Attribute of an event with the status of its ticket. Only a hint for receivers without a reaction to that
status: the body decides, and a publisher need not set it."""

PRE_APPROVED = "pre-approved"
RESERVED = "reserved"
RESERVE_FAILED = "reserve-failed"
PAID = "paid"
PAYMENT_FAILED = "payment-failed"
APPROVED = "approved"
CANCELED = "canceled"
DELIVERY_ARRANGED = "delivery-arranged"

OPEN = frozenset({PRE_APPROVED, RESERVED})
"""Statuses in which an order can still be canceled, by the client or at its deadline."""
FAILED = frozenset({RESERVE_FAILED, PAYMENT_FAILED, CANCELED})
"""Statuses of an order that has failed: reservations are released and charges refunded."""
TERMINAL = FAILED | {APPROVED}
"""Statuses that never change again."""

PUBLISHED_BY: Mapping[str, frozenset[str]] = {
    "purchase": frozenset({PRE_APPROVED, APPROVED, PAYMENT_FAILED, CANCELED, RESERVE_FAILED}),
    "stock": frozenset({RESERVED, RESERVE_FAILED, PAID}),
    "payment": frozenset({PAID, PAYMENT_FAILED}),
    "delivery": frozenset({DELIVERY_ARRANGED}),
}
"""The statuses each service publishes; on another service's topic they are rejected. Purchase only
republishes `reserve-failed`; stock published it."""
KNOWN = frozenset().union(*PUBLISHED_BY.values())
"""The statuses that this version knows."""


def may_publish(service: str, status: str) -> bool:
    """Whether a service publishes a status.

    Statuses of a service that PUBLISHED_BY does not list begin with its name, such as `loyalty-granted`: they
    are its answers to orders, and change no status of a ticket.
    """
    if service in PUBLISHED_BY:
        return status in PUBLISHED_BY[service]
    # Of `loyalty` and `loyalty-points`, the longer name tells whose `loyalty-points-granted` is.
    named = [each for each in (*TOPOLOGY.topics, service) if status.startswith(f"{each}-")]
    return status not in KNOWN and max(named, key=len, default="") == service


def answered_by(status: str) -> str | None:
    """Return the service whose answer to an approved order has that status; None if it is none of those."""
    if status in KNOWN:
        return "delivery" if status == DELIVERY_ARRANGED else None
    return next((service for service in TOPOLOGY.topics if may_publish(service, status)), None)


_APPROVAL = ("purchase.approved",)
_FAILURE = ("purchase.payment-failed", "purchase.canceled")
CAUSES: Mapping[str, tuple[str, ...]] = {
    "purchase.pre-approved": (),
    "stock.reserved": ("purchase.pre-approved",),
    "stock.reserve-failed": ("purchase.pre-approved",),
    "stock.paid": ("purchase.pre-approved",),
    "payment.paid": ("stock.reserved",),
    "payment.payment-failed": ("stock.reserved",),
    "purchase.approved": ("stock.paid", "payment.paid"),
    "purchase.reserve-failed": ("stock.reserve-failed",),
    "purchase.payment-failed": ("payment.payment-failed",),
    "purchase.canceled": ("purchase.pre-approved",),
    "delivery.delivery-arranged": _APPROVAL,
    "stock.sold": _APPROVAL,
    "stock.released": _FAILURE,
    "payment.settled": _APPROVAL,
    "payment.canceled": _FAILURE,
}
"""Step of an order (`service.status`, published or recorded) → the steps that cause it. `reserve-failed`
causes no compensation: nothing was reserved or charged. A cancellation follows the checkout."""

MAX_STATUS_LENGTH = 64
MAX_REASON_LENGTH = 1_000
"""Characters; what is longer is cut. Both are logged, stored and shown."""

_SPELLINGS = {"reserve_failed": RESERVE_FAILED}


@dataclass(frozen=True, slots=True)
class CartItem(Stored):
    """A quantity of an item."""

    itemid: str
    count: int


@dataclass(frozen=True, slots=True)
class TicketMessage:
    """The body of an order-ticket event; `status` is what happened to the order."""

    orderid: str
    status: str
    cart_items: tuple[CartItem, ...]
    amount: int | None = None
    """Amount to charge, in minor units of the currency."""
    reason: str | None = None
    owner_digest: str | None = None
    """See `ownership.owner_digest`; in the events of purchase, and of services that pass it on."""

    def to_event(self, eventid: str, attributes: Mapping[str, str]) -> Event:
        """Return the event with this body; None values are left out. Its status is an attribute, too."""
        optional = ("amount", "reason", "owner_digest")
        body = json.dumps(to_entity(self, omit_none=optional, omit_unknown=True)).encode()
        marked = {STATUS_ATTRIBUTE: self.status, **attributes}
        return Event(eventid, ORDER_TICKET, body, marked, {"orderid": self.orderid})

    @classmethod
    def from_event(cls, event: Event) -> "TicketMessage":
        """Decode an event body; unknown fields are ignored. Raises Poison if it is no valid ticket."""
        try:
            body = parse_json(event.body)
            status = _text(body["status"])
            if len(status) > MAX_STATUS_LENGTH:
                raise Poison("malformed-ticket: status is too long")
            return cls(
                orderid=checked_id("orderid", _text(body["orderid"])),
                status=_SPELLINGS.get(status, status),
                cart_items=tuple(_item(each) for each in body.get("cart_items") or ()),
                amount=_optional_amount(body.get("amount")),
                reason=_text(body.get("reason") or "")[:MAX_REASON_LENGTH] or None,
                owner_digest=_text(body.get("owner_digest") or "") or None,
            )
        except InvalidArgument as error:
            raise Poison(f"malformed-ticket: {error}") from error
        except (ValueError, KeyError, TypeError) as error:
            raise Poison("malformed-ticket") from error


CONTRADICTS_RECORD = "contradicts-record"
"""Reason of a dead letter: its items or its amount are not those that the receiver has on record."""


def must_agree(ticket: TicketMessage, items: tuple[CartItem, ...], amount: int | None) -> None:
    """Raise Poison if an event has other items, or another amount, than its receiver has on record.

    Only what both have is compared: a service in another language may leave items and amount out.
    """
    if ticket.cart_items and items and _counts(ticket.cart_items) != _counts(items):
        raise Poison(f"{CONTRADICTS_RECORD}: items")
    if None not in (ticket.amount, amount) and ticket.amount != amount:
        raise Poison(f"{CONTRADICTS_RECORD}: amount")


def ticket_event(ticket: TicketMessage, eventid: str, now: float, *, is_reminder: bool = False) -> Event:
    """Return the event that publishes `ticket` at `now` (seconds since the epoch)."""
    marks = {REMINDER_ATTRIBUTE: "true"} if is_reminder else {}
    return ticket.to_event(eventid, {"time": timestamp(now), **marks})


def vocabulary() -> Mapping[str, Any]:
    """Return statuses with their classes, who publishes them and what causes what, for clients as JSON."""
    classes = dict.fromkeys(OPEN, "open") | dict.fromkeys(FAILED, "failed") | {APPROVED: "approved"}
    return {
        "services": list(PUBLISHED_BY),
        "statuses": {
            status: {"class": classes[status], "terminal": status in TERMINAL} for status in sorted(classes)
        },
        "published_by": {service: sorted(statuses) for service, statuses in PUBLISHED_BY.items()},
        "causes": CAUSES,
        "failed": sorted(FAILED),
        "terminal": sorted(TERMINAL),
    }


def _item(body: Mapping[str, Any]) -> CartItem:
    return CartItem(
        checked_id("itemid", _text(body["itemid"])),
        checked_int("count", _integer(body["count"]), 1, MAX_COUNT),
    )


def _counts(items: Iterable[CartItem]) -> Counter[str]:
    counts: Counter[str] = Counter()
    for item in items:
        counts[item.itemid] += item.count
    return counts


def _optional_amount(value: object) -> int | None:
    return None if value is None else checked_int("amount", _integer(value), 0, MAX_AMOUNT)


def _integer(value: object) -> int:
    """Accept a JSON number, or the string that proto3's JSON mapping writes for an int64."""
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        raise TypeError("not an integer")
    return int(value)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("not text")
    value.encode()  # Raises for lone surrogates: JSON can express them, but they cannot be stored or sent.
    return value
