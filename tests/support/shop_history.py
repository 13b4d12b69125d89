"""Every call of the shop's customers, and what must hold for the answers of all processes to all of them."""

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Mapping
from typing import NamedTuple

from contract.tickets import (
    APPROVED,
    CANCELED,
    DELIVERY_ARRANGED,
    PAYMENT_FAILED,
    PRE_APPROVED,
    RESERVE_FAILED,
    RESERVED,
)
from sagakit.testing.history import (
    Call,
    History,
    progress_violations,
    repeat_violations,
    stream_violations,
    version_violations,
)
from sagakit.testing.linearizable import Undecided, linearizability_violation
from services.payment.charge import Charge
from services.purchase.ticket import Ticket
from services.stock.inventory import Reservation
from tests.support import cart_model
from tests.support.cart_model import NO_CART

GET = "GET"
"""The request of a read."""
END = "end"
FINAL = {APPROVED, RESERVE_FAILED, PAYMENT_FAILED, CANCELED}
NEXT_STATUSES: Mapping[str, Collection[str]] = {
    PRE_APPROVED: {RESERVED, *FINAL},
    RESERVED: FINAL - {RESERVE_FAILED},
}
UNTOLD = {"stock.released": "stock.reserved", "payment.canceled": "payment.paid"}
"""Events of services that learn of a failure before they took anything: perhaps after a minute, when the
stream has ended. The stream has them or not."""


class Seen(NamedTuple):
    """An order, as a customer saw it."""

    status: str
    etag: str
    body: str


def cart(cartid: str) -> Hashable:
    """Return the name of a cart in the history."""
    return "cart", cartid


def order(orderid: str) -> Hashable:
    """Return the name of an order in the history; of its streams, with a follower."""
    return "order", orderid


def stream(orderid: str, follower: str) -> Hashable:
    """Return the name of what one follower receives about an order."""
    return "stream", orderid, follower


def follows(later: str, earlier: str) -> bool:
    """Whether an order with one status can get the other."""
    return later in NEXT_STATUSES.get(earlier, ())


class ShopHistory:
    """Checks what is finished at once, and keeps only a summary of it."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.calls = History(clock)
        self.problems: list[str] = []
        self.checked: Counter[str] = Counter()
        """How many carts, orders and streams were checked."""
        self._statuses: dict[str, str] = {}
        """The last status that a customer saw, by orderid."""
        self._received: dict[str, list[frozenset[str]]] = defaultdict(list)
        """The events of each stream that has ended, by orderid."""
        self._put_back: set[str] = set()

    def check_cart(self, cartid: str) -> None:
        """Check the calls about a cart; no more will follow."""
        calls = self._take(cart(cartid))
        self.checked["carts"] += 1
        try:
            violation = linearizability_violation(calls, cart_model.apply, NO_CART)
        except Undecided as error:
            violation = f"cart {cartid}: {error}"
        self.problems += [violation] if violation else []

    def check_order(self, orderid: str) -> None:
        """Check the calls about an order; no more will follow."""
        calls = self._take(order(orderid))
        self.checked["orders"] += 1
        reads = [each for each in calls if isinstance(each.answer, Seen)]
        other = [each for each in calls if each.request == GET and isinstance(each.answer, str)]
        self.problems += [f"order {orderid}: {each}" for each in other]
        self.problems += progress_violations(reads, follows, lambda seen: seen.status)
        tagged = [each for each in reads if each.answer.etag]
        self.problems += version_violations(tagged, lambda seen: seen.etag)
        self.problems += _tag_violations(tagged)
        if reads:
            last = max(reads, key=lambda each: each.ended or 0)
            self._statuses[orderid] = last.answer.status

    def check_stream(self, orderid: str, follower: str) -> None:
        """Check the connections of a follower; no more will follow."""
        calls = self._take(stream(orderid, follower))
        connections = [each.answer for each in calls if each.result == "ok"]
        self.problems += (
            f"stream of order {orderid}: {each}" for each in stream_violations(connections, end=END)
        )
        received = frozenset(event for each in connections for event in each)
        if END in received:
            self._received[orderid].append(received)
        self.checked["streams" if END in received else "streams without their end"] += 1

    def status_problems(self, records: Mapping[str, str]) -> Iterator[str]:
        """Yield the orders whose records, by orderid, say less than a customer has seen.

        Those without a record are left to the comparison of all orders.
        """
        for orderid, seen in self._statuses.items():
            recorded = records.get(orderid, seen)
            if recorded != seen and not follows(recorded, seen):
                yield f"order {orderid} was {seen} for a customer, and is {recorded} on record"

    def forget_records(self, orderids: Iterable[str]) -> None:
        """Compare the streams of these orders with no records, because the records were put back."""
        self._put_back |= {*orderids}

    def stream_problems(self, records: Mapping[str, Collection[str]]) -> Iterator[str]:
        """Yield what ended streams lack of the events on record (by orderid), and have in excess."""
        for orderid in self._received.keys() - self._put_back:
            streams = self._received[orderid]
            recorded = {*records.get(orderid, ())}
            for received in streams:
                untold = _untold(recorded, received)
                events = [*sorted(received - {END}), END]
                for each in stream_violations([events], recorded - untold, END):
                    yield f"stream of order {orderid}: {each}"

    def _take(self, resource: Hashable) -> list[Call]:
        calls = self.calls.take(resource)
        self.problems += repeat_violations(calls)
        return calls


def _untold(recorded: Collection[str], received: Collection[str]) -> set[str]:
    """Return the events on record that services may have added after the stream had ended.

    A service that is without a record of a canceled order for a minute may yet receive the order's events.
    """
    untold = {event for event, taken in UNTOLD.items() if taken not in recorded}
    if f"purchase.{CANCELED}" in recorded:
        shown = {event.partition(".")[0] for event in received}
        untold |= {event for event in recorded if event.partition(".")[0] not in shown}
    return untold - {*received}


def _tag_violations(reads: Iterable[Call]) -> Iterator[str]:
    """Yield the ETags that stand for two bodies, and the bodies that have two."""
    pairs = {(each.answer.etag, each.answer.body) for each in reads}
    for n in (0, 1):
        twice = [each for each, times in Counter(pair[n] for pair in pairs).items() if times > 1]
        yield from (f"ETags and bodies do not belong together: {each}" for each in twice)


def recorded_events(
    ticket: Ticket, reservation: Reservation | None, charge: Charge | None, *, shipped: bool
) -> frozenset[str]:
    """Return the events of an order that the services' records prove, as streams name them."""
    statuses = {each.status for each in ticket.history}
    found = {f"purchase.{each}" for each in statuses - {RESERVED, DELIVERY_ARRANGED}}
    if reservation is not None:
        decided = {"refused": RESERVE_FAILED, "released": "released"}.get(reservation.status)
        if decided is None or reservation.settled_time is not None:
            decided = "paid" if reservation.waives_payment else RESERVED
        found.add(f"stock.{decided}")
        found |= {f"stock.{reservation.status}"} if reservation.settled_time is not None else set()
    if charge is not None:
        decided = {"declined": PAYMENT_FAILED, "canceled": CANCELED}.get(charge.status)
        found.add(f"payment.{'paid' if decided is None or charge.settled_time is not None else decided}")
        found |= {f"payment.{charge.status}"} if charge.settled_time is not None else set()
    return frozenset(found | ({f"delivery.{DELIVERY_ARRANGED}"} if shipped else set()))
