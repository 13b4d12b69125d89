"""Names of what a campaign of the shop must reach, counted by its commits and acknowledgements."""

import json
from collections import Counter
from collections.abc import Mapping
from typing import Any, NamedTuple

from contract.tickets import APPROVED, CANCELED, ORDER_TICKET, PRE_APPROVED, RESERVED
from contract.topology import TOPOLOGY
from sagakit.consumer import NACKED, PAUSED, Outcome
from sagakit.inbox import inbox_kind
from sagakit.outbox import outbox_kind
from sagakit.tables import Entity, Insert, Key, Mutation, Row, Update
from sagakit.testing.backends import Commit
from sagakit.testing.reached import HALF_FAILED, REMINDERS_PAUSED, TAKEN_OVER
from services.delivery.storage import DELIVERY
from services.delivery.usecases import REACTIONS as SHIPMENTS
from services.payment.charge import CANCELED as REFUNDED
from services.payment.charge import CHARGED, CHARGING
from services.payment.simulated import LEDGER
from services.payment.storage import PAYMENT, payment_key
from services.payment.usecases import REACTIONS as CHARGES
from services.purchase.storage import CART, TICKET, ticket_key
from services.purchase.ticket import CANCELLATION, CLIENT, TIMEOUT, TRANSITIONS, Transition
from services.stock.inventory import RELEASED
from services.stock.storage import RESERVATION, SHARD, reservation_key
from services.stock.usecases import REACTIONS as RESERVATIONS
from tests.simulation.faults import ShopFaults
from tests.simulation.habits import PROVIDER_FAULTS

REACTIONS = {"stock": RESERVATIONS, "payment": CHARGES, "delivery": SHIPMENTS}
COMMANDS = ("CreateCart", "AddItem", "SetItem", "RemoveItem", "CloseCart", "Checkout", "CancelOrder")
AWAITING = {TICKET: {PRE_APPROVED, APPROVED}, RESERVATION: {RESERVED}, PAYMENT: {CHARGED}}
"""The statuses in which a reminder asks another service for its answer."""

STOCK_TOMBSTONE = "an order meets the tombstone of its cancellation in stock"
CHARGE_TOMBSTONE = "an order meets the tombstone of its cancellation in payment"
LEDGER_TOMBSTONE = "the provider does not charge an order that was canceled before"
WINDOW_FULL = "a reminder is left out because too many are unanswered"
CHARGE_RESUMED = "a charge without a recorded outcome is asked for again"
SPLIT = "an order takes units of several shards of an item"
OWN = (STOCK_TOMBSTONE, CHARGE_TOMBSTONE, LEDGER_TOMBSTONE, WINDOW_FULL, CHARGE_RESUMED, SPLIT)


def cells(transitions: Mapping[str, Mapping[str, Transition]]) -> list[str]:
    """Return the names of all cells of a table of transitions; a cancellation has two causes."""
    reports = [(status, report) for status, row in transitions.items() for report in row]
    causes = [f"{CANCELLATION} by {cause}" for cause in (CLIENT, TIMEOUT)]
    return [
        _cell(status, each)
        for status, report in reports
        for each in (causes if report == CANCELLATION else [report])
    ]


def _cell(status: str, report: str) -> str:
    return f"ticket {status}: {report}"


def _outcomes() -> list[str]:
    """Return the names of what can become of a delivery; FAILED would be a defect."""
    known = [*(each.label for each in Outcome), NACKED, PAUSED]
    return [f"{service}: event {outcome}" for service in TOPOLOGY.topics for outcome in known]


def _conflicts() -> list[str]:
    kinds = [CART, TICKET, SHARD, RESERVATION, PAYMENT, LEDGER, DELIVERY, *map(inbox_kind, TOPOLOGY.topics)]
    return [f"conflict on {kind}" for kind in kinds]


def _expiries() -> list[str]:
    return [f"expiry of {kind}" for kind in (CART, *map(inbox_kind, TOPOLOGY.topics))]


MUST_REACH = (
    *cells(TRANSITIONS),
    *(f"{service} reacts to {status}" for service, reactions in REACTIONS.items() for status in reactions),
    *_outcomes(),
    *_conflicts(),
    *_expiries(),
    *ShopFaults.names(),
    *(f"{command} is repeated" for command in COMMANDS),
    *OWN,
    *PROVIDER_FAULTS,
    TAKEN_OVER,
    HALF_FAILED,
    REMINDERS_PAUSED,
)
"""Names in `World.reached`, which the runs of a campaign must reach together."""


class Published(NamedTuple):
    """An event about an order."""

    orderid: str
    status: str


class Places:
    """Counts in `reached` what the commits and acknowledgements of a run show."""

    def __init__(self, reached: Counter[str], rows: Mapping[Key, Row]) -> None:
        """`rows`: all entities as they are now."""
        self._reached = reached
        self._rows = rows
        self._events: dict[str, Published] = {}
        """By eventid, those of every service."""
        self._outboxes = {outbox_kind(service) for service in TOPOLOGY.topics}
        self._inbox = inbox_kind("purchase")

    def committed(self, commit: Commit) -> None:
        """Note a commit."""
        published = {self._published(each) for each in commit.mutations if each.key.kind in self._outboxes}
        for each in commit.mutations:
            before = commit.before.get(each.key)
            if isinstance(each, Insert) and each.key.kind == self._inbox:
                self._reported(each.key.name, commit)
            elif isinstance(each, Insert) and each.key.kind == RESERVATION:
                items = Counter(allocation["itemid"] for allocation in each.entity["taken"])
                self._reached[SPLIT] += max(items.values(), default=0) > 1
            elif isinstance(each, Update) and before is not None and each.key.kind in AWAITING:
                self._changed(each.key, before.entity, each.entity, is_published=each.key.name in published)

    def published(self, eventid: str, orderid: str, status: str) -> None:
        """Remember an event of any service."""
        self._events[eventid] = Published(orderid, status)

    def acknowledged(self, service: str, orderid: str, status: str) -> None:
        """Note that a service has processed an event about an order."""
        if status not in REACTIONS.get(service, {}):
            return
        self._reached[f"{service} reacts to {status}"] += 1
        if (service, status) == ("stock", PRE_APPROVED):
            entity = self._entity(reservation_key(orderid))
            self._reached[STOCK_TOMBSTONE] += entity.get("status") == RELEASED and not entity["items"]
        elif (service, status) == ("payment", RESERVED):
            entity = self._entity(payment_key(orderid))
            self._reached[CHARGE_TOMBSTONE] += entity.get("status") == REFUNDED and not entity["items"]

    def _entity(self, key: Key) -> Entity:
        row = self._rows.get(key)
        return {} if row is None else row.entity

    def _published(self, mutation: Mutation) -> str:
        """Remember an event that was committed; return the orderid that it is about."""
        if not isinstance(mutation, Insert) or mutation.entity["type"] != ORDER_TICKET:
            return ""
        body: Any = json.loads(mutation.entity["body"])
        self.published(mutation.key.name, body["orderid"], body["status"])
        return str(body["orderid"])

    def _reported(self, eventid: str, commit: Commit) -> None:
        """Note which cell of the table a report has used."""
        event = self._events.get(eventid)
        before = commit.before.get(ticket_key(event.orderid)) if event else None
        if event is not None and before is not None:
            self._reached[_cell(before.entity["status"], event.status)] += 1

    def _changed(self, key: Key, before: Entity, after: Entity, *, is_published: bool) -> None:
        status = after["status"]
        if key.kind == TICKET and status == CANCELED != before["status"]:
            cause = after["history"][-1]["cause"]
            self._reached[_cell(before["status"], f"{CANCELLATION} by {cause}")] += 1
        if key.kind == PAYMENT and before["status"] == CHARGING and status == REFUNDED:
            self._reached[LEDGER_TOMBSTONE] += not after["refunded"]
        is_reminded = after["repeats"] > before["repeats"]
        self._reached[CHARGE_RESUMED] += is_reminded and status == CHARGING
        awaits = status in AWAITING[key.kind]
        self._reached[WINDOW_FULL] += is_reminded and awaits and not is_published
