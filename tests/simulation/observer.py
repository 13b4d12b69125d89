"""Check every commit and acknowledgement for violations that the final records no longer show."""

import json
from collections import Counter
from collections.abc import Sequence

from contract.tickets import CANCELED, KNOWN, ORDER_TICKET, PAYMENT_FAILED
from contract.topology import TOPOLOGY
from sagakit.bus import Message
from sagakit.consumer import UNKNOWN_ATTEMPTS
from sagakit.events import REMINDER_ATTRIBUTE
from sagakit.outbox import outbox_kind
from sagakit.tables import Delete, Entity, Insert, Key, Mutation
from services.payment.charge import CHARGED
from services.payment.simulated import LEDGER
from services.payment.storage import PAYMENT
from services.stock.inventory import RESERVED
from services.stock.storage import RESERVATION
from tests.simulation.reached import Places
from tests.support.newer_release import NEW_STATUS

MAX_REMINDERS = 24
"""Maximum reminders of one event within the hours that a run lasts, over all replicas."""

OUTBOXES = {outbox_kind(service): service for service in TOPOLOGY.topics}


class Observer:
    """Records what services promised about each order; `problems` lists the broken promises."""

    def __init__(self, places: Places | None = None, *, counts_reminders: bool = True) -> None:
        """`places` receives what was acknowledged; `counts_reminders`: there may not be too many."""
        self._counts_reminders = counts_reminders
        self._places = places
        self.problems: list[str] = []
        self.new_events: Counter[str] = Counter()
        """Deliveries of events with a status that this version does not know, by what became of them."""
        self._dead_letters: set[tuple[str, str]] = set()
        """(subscription, eventid): it is acknowledged next as a dead letter, and was not applied."""
        self._failed: set[tuple[str, str]] = set()
        """(service, orderid): the service has acknowledged that the order failed."""
        self._replies: dict[tuple[str, str], str] = {}
        self._reminders: Counter[tuple[str, str, str]] = Counter()

    def forget(self, service: str) -> None:
        """Forget what the service promised: its records were restored to an earlier moment."""
        self._failed = {each for each in self._failed if each[0] != service}
        self._replies = {key: status for key, status in self._replies.items() if key[0] != service}

    def committed(self, mutations: Sequence[Mutation]) -> None:
        for mutation in mutations:
            if not isinstance(mutation, Delete):
                self._written(mutation.key, mutation.entity, new=isinstance(mutation, Insert))

    def dead_lettered(self, messages: Sequence[Message]) -> None:
        """Note that services have published dead letters."""
        for each in messages:
            where = each.attributes["dead_letter_subscription"]
            self._dead_letters.add((where, each.attributes.get("eventid", "")))

    def acknowledged(self, subscription: str, message: Message, attempt: int | None) -> None:
        """Note that a service has processed a message.

        `attempt`: the number of the delivery; None: its process knows NEW_STATUS.
        """
        service = subscription.partition("-")[0]
        dead_letter = (subscription, message.attributes.get("eventid", ""))
        if dead_letter in self._dead_letters:
            self._dead_letters.discard(dead_letter)
            return
        if message.attributes.get("type") != ORDER_TICKET:
            return
        try:
            body = json.loads(message.data)
        except ValueError:
            return
        if body.get("status") in {CANCELED, PAYMENT_FAILED}:
            self._failed.add((service, body["orderid"]))
        if self._places is not None:
            self._places.acknowledged(service, body["orderid"], body["status"])
        if body.get("status") == NEW_STATUS:
            self.new_events["applied" if attempt is None else "acknowledged"] += 1
            if attempt is not None and attempt < UNKNOWN_ATTEMPTS:
                self.problems.append(
                    f"order {body['orderid']}: {service} acknowledged {NEW_STATUS} at delivery {attempt}, "
                    "before a newer replica had it"
                )

    def _written(self, key: Key, entity: Entity, *, new: bool) -> None:
        service = OUTBOXES.get(key.kind)
        if service is not None:
            if new and entity["type"] == ORDER_TICKET:
                self._published(service, entity)
        elif key.kind == RESERVATION and entity["status"] == RESERVED:
            self._allocated("stock", key.name)
        elif _is_charged(key, entity):
            self._allocated("payment", key.name)

    def _allocated(self, service: str, orderid: str) -> None:
        """Check that a service that knows of the failure neither reserves nor charges."""
        if (service, orderid) in self._failed:
            self.problems.append(
                f"order {orderid}: {service} reserves or charges after it acknowledged the failure"
            )

    def _published(self, service: str, entity: Entity) -> None:
        body = json.loads(entity["body"])
        orderid, status = body["orderid"], body["status"]
        if self._counts_reminders and REMINDER_ATTRIBUTE in entity["attributes"]:
            self._reminders[service, orderid, status] += 1
            if self._reminders[service, orderid, status] == MAX_REMINDERS + 1:
                self.problems.append(
                    f"order {orderid}: {service} repeats {status} more than {MAX_REMINDERS} times"
                )
        if service in {"stock", "payment"} and status in KNOWN:
            first = self._replies.setdefault((service, orderid), status)
            if first != status:
                self.problems.append(f"order {orderid}: {service} published {first}, and then {status}")


def _is_charged(key: Key, entity: Entity) -> bool:
    if key.kind == LEDGER:
        return bool(entity["charged"]) and not entity["canceled"]
    return key.kind == PAYMENT and entity["status"] == CHARGED
