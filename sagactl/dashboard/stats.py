"""What has been recent of the orders lately, added up: a pure model of events and a clock."""

from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from math import ceil

from contract.tickets import (
    APPROVED,
    CANCELED,
    PAYMENT_FAILED,
    PRE_APPROVED,
    RESERVE_FAILED,
    TicketMessage,
)

ACCEPTED = "accepted"
WINDOWS = (10, 60)
"""Over how many seconds rates are taken."""
MAX_EVENTS = 200
MAX_ORDERS = 20_000
"""Remembered, the latest recent of; of one that was forgotten only what is new is counted again."""

_ENDS = {
    ("purchase", APPROVED),
    ("purchase", PAYMENT_FAILED),
    ("purchase", CANCELED),
    # Purchase has nothing to add to that, and publishes nothing.
    ("stock", RESERVE_FAILED),
}


@dataclass(frozen=True, slots=True)
class EventLine:
    """What a service events of an order."""

    at: float
    """When it was events, by the clock of the service, in seconds since the epoch."""
    service: str
    orderid: str
    status: str
    reason: str | None
    since_checkout: float | None
    """Seconds, by the clocks of the services; None: its checkout was not recent."""


@dataclass(frozen=True, slots=True)
class Rates:
    """Orders a second over the last `window` seconds, or since listening began, by what became of them."""

    window: int
    orders: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Summary:
    """Everything there is to show at a moment."""

    rates: tuple[Rates, ...]
    ended: int
    """Orders in the longest window; the next two are of those whose checkout was recent as well."""
    p50: float | None
    """Seconds from checkout to approved, or closed as failed."""
    p95: float | None
    dead_letters: int
    """Heard since listening began."""
    events: tuple[EventLine, ...]
    """In the order it was events, as far as the clocks of the services agree: it is recent in another."""


@dataclass(slots=True)
class _Order:
    seen: set[tuple[str, str]] = field(default_factory=set)
    opened_at: float | None = None
    ended_at: float | None = None

    def elapsed(self, at: float | None) -> float | None:
        """Seconds from checkout, where that was recent, be it later."""
        return None if self.opened_at is None or at is None else max(0.0, at - self.opened_at)


class OrderStats:
    """Hears; and says how it stands."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._began = now()
        self._orders: OrderedDict[str, _Order] = OrderedDict()
        self._counts: deque[tuple[float, str]] = deque()
        self._ended: deque[tuple[float, _Order]] = deque()
        self._events: deque[tuple[float, str, TicketMessage, _Order]] = deque(maxlen=MAX_EVENTS)
        self._dead_letters = 0

    def on_ticket(
        self, service: str, ticket: TicketMessage, time: str, again: bool, _trace_id: str | None = None
    ) -> None:
        """Record a service's event about an order, unless it is a reminder or known already."""
        order = self._order(ticket.orderid)
        key = (service, ticket.status)
        if again or key in order.seen:
            return
        order.seen.add(key)
        at = _seconds(time, self._now())
        if key == ("purchase", PRE_APPROVED):
            order.opened_at = at
            self._counts.append((self._now(), ACCEPTED))
        self._events.append((at, service, ticket, order))
        if key in _ENDS and order.ended_at is None:
            order.ended_at = at
            self._counts.append((self._now(), _outcome(ticket)))
            self._ended.append((self._now(), order))

    def add_dead_letter(self) -> None:
        """Some event could not be dealt with."""
        self._dead_letters += 1

    def summary(self) -> Summary:
        """As of now."""
        self._expire()
        took = sorted(took for _, order in self._ended if (took := order.elapsed(order.ended_at)) is not None)
        return Summary(
            rates=tuple(self._rates(window) for window in WINDOWS),
            ended=len(self._ended),
            p50=_quantile(took, 0.5),
            p95=_quantile(took, 0.95),
            dead_letters=self._dead_letters,
            events=tuple(
                EventLine(at, service, ticket.orderid, ticket.status, ticket.reason, order.elapsed(at))
                for at, service, ticket, order in sorted(self._events, key=lambda each: each[0])
            ),
        )

    def _rates(self, window: int) -> Rates:
        now = self._now()
        counted = Counter(what for at, what in self._counts if at > now - window)
        seconds = min(window, max(1.0, now - self._began))
        return Rates(window, {what: count / seconds for what, count in counted.most_common()})

    def _order(self, orderid: str) -> _Order:
        order = self._orders.setdefault(orderid, _Order())
        self._orders.move_to_end(orderid)
        if len(self._orders) > MAX_ORDERS:
            self._orders.popitem(last=False)
        return order

    def _expire(self) -> None:
        for recent in (self._counts, self._ended):
            while recent and recent[0][0] <= self._now() - max(WINDOWS):
                recent.popleft()


def _outcome(ticket: TicketMessage) -> str:
    if ticket.status == APPROVED:
        return APPROVED
    # Of "sold-out: yellow" the kind of reason only: there may be as many items as you like.
    return f"{ticket.status} {ticket.reason.partition(':')[0]}" if ticket.reason else ticket.status


def _quantile(ordered: list[float], share: float) -> float | None:
    return ordered[ceil(share * len(ordered)) - 1] if ordered else None


def _seconds(time: str, otherwise: float) -> float:
    try:
        return datetime.fromisoformat(time).timestamp()
    except ValueError:
        return otherwise
