"""Statistics of recent orders: a pure model of events and a clock."""

from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import ceil

from contract.tickets import (
    APPROVED,
    CANCELED,
    PAYMENT_FAILED,
    PRE_APPROVED,
    RESERVE_FAILED,
    TicketMessage,
)
from sagakit.events import REMINDER_ATTRIBUTE, Event, published_at

ACCEPTED = "accepted"
WINDOWS = (10, 60)
"""Windows of the rates, in seconds."""
MAX_EVENTS = 200
MAX_ORDERS = 20_000
"""Orders kept, by latest event. Of an order that was dropped only new events are counted again."""

_FINAL_EVENTS = {
    ("purchase", APPROVED),
    ("purchase", PAYMENT_FAILED),
    ("purchase", CANCELED),
    ("stock", RESERVE_FAILED),  # purchase publishes nothing more
}


@dataclass(frozen=True, slots=True)
class EventLine:
    """One event of an order."""

    at: float
    """Time of publication by the service's clock, in seconds since the epoch."""
    service: str
    orderid: str
    """Of an event that is no order ticket: its eventid, and its type as the status."""
    status: str
    reason: str | None
    since_checkout: float | None
    """Seconds, by the services' clocks; None: the checkout was not received."""


@dataclass(frozen=True, slots=True)
class Rates:
    """Orders per second by outcome, over the last `window` seconds or since the start."""

    window: int
    orders: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Summary:
    """All statistics at one moment."""

    rates: tuple[Rates, ...]
    ended: int
    """Final orders in the longest window."""
    p50: float | None
    """Seconds from checkout to the final status, of those whose checkout was received."""
    p95: float | None
    dead_letters: int
    """Received since the start."""
    events: tuple[EventLine, ...]
    """In order of publication, as far as the services' clocks agree."""


@dataclass(slots=True)
class _Order:
    seen: set[tuple[str, str]] = field(default_factory=set)
    opened_at: float | None = None
    ended_at: float | None = None

    def elapsed(self, at: float | None) -> float | None:
        """Return the seconds from checkout to `at`, once both are known."""
        return None if self.opened_at is None or at is None else max(0.0, at - self.opened_at)


class OrderStats:
    """Collects events and summarizes them."""

    def __init__(self, now: Callable[[], float], monotonic: Callable[[], float]) -> None:
        """`now`: seconds since the epoch, for events without a valid time; `monotonic`: for the windows."""
        self._now = now
        self._monotonic = monotonic
        self._started_at = monotonic()
        self._orders: OrderedDict[str, _Order] = OrderedDict()
        self._outcomes: deque[tuple[float, str]] = deque()
        self._ended: deque[tuple[float, _Order]] = deque()
        self._events: deque[tuple[float, str, TicketMessage, _Order]] = deque(maxlen=MAX_EVENTS)
        self._dead_letters = 0

    def on_ticket(
        self, service: str, ticket: TicketMessage, time: str, is_reminder: bool, _trace_id: str | None = None
    ) -> None:
        """Add an event, unless it is a reminder or was received before."""
        order = self._order(ticket.orderid)
        key = (service, ticket.status)
        if is_reminder or key in order.seen:
            return
        order.seen.add(key)
        at = _seconds(time, self._now())
        if key == ("purchase", PRE_APPROVED):
            order.opened_at = at
            self._outcomes.append((self._monotonic(), ACCEPTED))
        self._events.append((at, service, ticket, order))
        if key in _FINAL_EVENTS and order.ended_at is None:
            order.ended_at = at
            self._outcomes.append((self._monotonic(), _outcome(ticket)))
            self._ended.append((self._monotonic(), order))

    def on_other(self, service: str, event: Event) -> None:
        """Add an event that is no order ticket: it is listed by its id and type, and counts for no order."""
        ticket = TicketMessage(event.eventid, event.type, ())
        time = event.attributes.get("time", "")
        self.on_ticket(service, ticket, time, REMINDER_ATTRIBUTE in event.attributes)

    def add_dead_letter(self) -> None:
        """Count a dead letter."""
        self._dead_letters += 1

    def summary(self) -> Summary:
        """Return the statistics as of now."""
        self._expire()
        durations = sorted(
            seconds for _, order in self._ended if (seconds := order.elapsed(order.ended_at)) is not None
        )
        return Summary(
            rates=tuple(self._rates(window) for window in WINDOWS),
            ended=len(self._ended),
            p50=_quantile(durations, 0.5),
            p95=_quantile(durations, 0.95),
            dead_letters=self._dead_letters,
            events=tuple(
                EventLine(at, service, ticket.orderid, ticket.status, ticket.reason, order.elapsed(at))
                for at, service, ticket, order in sorted(self._events, key=lambda each: each[0])
            ),
        )

    def _rates(self, window: int) -> Rates:
        now = self._monotonic()
        counts = Counter(outcome for at, outcome in self._outcomes if at > now - window)
        seconds = min(window, max(1.0, now - self._started_at))
        return Rates(window, {outcome: count / seconds for outcome, count in counts.most_common()})

    def _order(self, orderid: str) -> _Order:
        order = self._orders.setdefault(orderid, _Order())
        self._orders.move_to_end(orderid)
        if len(self._orders) > MAX_ORDERS:
            self._orders.popitem(last=False)
        return order

    def _expire(self) -> None:
        for recent in (self._outcomes, self._ended):
            while recent and recent[0][0] <= self._monotonic() - max(WINDOWS):
                recent.popleft()


def _outcome(ticket: TicketMessage) -> str:
    if ticket.status == APPROVED:
        return APPROVED
    # Of "sold-out: yellow" only the kind of reason: the number of items is unbounded.
    return f"{ticket.status} {ticket.reason.partition(':')[0]}" if ticket.reason else ticket.status


def _quantile(ordered: list[float], share: float) -> float | None:
    return ordered[ceil(share * len(ordered)) - 1] if ordered else None


def _seconds(time: str, default: float) -> float:
    published = published_at({"time": time})
    return default if published is None else published
