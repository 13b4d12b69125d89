"""Watches every commit and every acknowledgement for what the books no longer show in the end."""

import json
from collections import Counter
from collections.abc import Sequence

from contract.tickets import CANCELED, PAYMENT_FAILED, REMINDER_ATTRIBUTE
from contract.topology import TOPICS
from sagakit.bus import Message
from sagakit.outbox import outbox_kind
from sagakit.tables import Delete, Entity, Insert, Key, Mutation
from services.payment.charge import CHARGED
from services.payment.simulated import LEDGER
from services.payment.storage import PAYMENT
from services.stock.inventory import RESERVED
from services.stock.storage import RESERVATION

MOST_CLAIMS = 12
"""How often a row of an outbox may be claimed: with pauses that double, an hour's outage takes so many."""
MOST_REPEATS = 24
"""How often a last word may be repeated within the hours that a world lasts, by all replicas."""

OUTBOXES = {outbox_kind(service): service for service in TOPICS}


class Observer:
    """Keeps, of each order, what its services have promised; tells what broke a promise."""

    def __init__(self) -> None:
        self.problems: list[str] = []
        self._failed: set[tuple[str, str]] = set()
        """(service, orderid): it has acknowledged that the order failed."""
        self._answers: dict[tuple[str, str], str] = {}
        self._claims: Counter[str] = Counter()
        self._repeats: Counter[tuple[str, str, str]] = Counter()

    def committed(self, mutations: Sequence[Mutation]) -> None:
        for mutation in mutations:
            if not isinstance(mutation, Delete):
                self._written(mutation.key, mutation.entity, new=isinstance(mutation, Insert))

    def acknowledged(self, subscription: str, message: Message) -> None:
        """A service is done with a message."""
        service = subscription.partition("-")[0]
        try:
            body = json.loads(message.data)
        except ValueError:
            return
        if body.get("status") in {CANCELED, PAYMENT_FAILED}:
            self._failed.add((service, body["orderid"]))

    def _written(self, key: Key, entity: Entity, *, new: bool) -> None:
        service = OUTBOXES.get(key.kind)
        if service is not None:
            self._say(service, entity) if new else self._claim(key)
        elif key.kind == RESERVATION and entity["status"] == RESERVED:
            self._take("stock", key.name)
        elif _is_charged(key, entity):
            self._take("payment", key.name)

    def _take(self, service: str, orderid: str) -> None:
        """A tombstone's promise: the late action takes nothing."""
        if (service, orderid) in self._failed:
            self.problems.append(f"order {orderid}: {service} takes something after it knew that it failed")

    def _say(self, service: str, entity: Entity) -> None:
        body = json.loads(entity["body"])
        orderid, status = body["orderid"], body["status"]
        if REMINDER_ATTRIBUTE in entity["attributes"]:
            self._repeats[service, orderid, status] += 1
            if self._repeats[service, orderid, status] == MOST_REPEATS + 1:
                self.problems.append(f"order {orderid}: {service} repeats {status} without end")
        if service in {"stock", "payment"}:
            first = self._answers.setdefault((service, orderid), status)
            if first != status:
                self.problems.append(f"order {orderid}: {service} said {first}, and then {status}")

    def _claim(self, key: Key) -> None:
        self._claims[key.name] += 1
        if self._claims[key.name] == MOST_CLAIMS + 1:
            self.problems.append(f"event {key.name} of {key.kind} was claimed {MOST_CLAIMS + 1} times")


def _is_charged(key: Key, entity: Entity) -> bool:
    if key.kind == LEDGER:
        return bool(entity["charged"]) and not entity["canceled"]
    return key.kind == PAYMENT and entity["status"] == CHARGED
