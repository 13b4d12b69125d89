"""Metrics of orders: opened, ended, their duration."""

from contract.fields import TOO_MANY_ITEMS
from sagakit.telemetry.instruments import SECONDS, Counter, Histogram, Metrics
from sagakit.telemetry.metrics import OTHER, known
from services.purchase.ticket import CLIENT, TIMEOUT, Ticket

NO_REASON = ""
_BY_STOCK = ("no-items", "unknown-item", "sold-out", TOO_MANY_ITEMS)
REASONS = (NO_REASON, *_BY_STOCK, "no-amount", "declined", CLIENT, TIMEOUT, OTHER)
"""Values of the label `reason`: a failure reason up to its colon."""

ORDERS_OPENED = Counter("saga.orders.opened", "{order}", "Orders that a checkout has opened.")
PROMISED_SECONDS = 60.0
ORDERS_ENDED = Counter(
    "saga.orders.ended",
    "{order}",
    "Orders that have ended, within a minute of their checkout or not.",
    ("in_time",),
)
YES, NO = "yes", "no"
ORDER_DURATION = Histogram(
    "saga.order.duration",
    SECONDS,
    "Orders that have ended, from checkout until they were approved or had failed.",
    ("outcome", "reason"),
    (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0),
)


class Orders:
    """Records orders when they open and end."""

    def __init__(self, metrics: Metrics) -> None:
        self._opened = metrics.counter(ORDERS_OPENED)
        self._ended = metrics.counter(ORDERS_ENDED, [{"in_time": YES}, {"in_time": NO}])
        self._durations = metrics.histogram(ORDER_DURATION)

    def opened(self) -> None:
        self._opened.add(1)

    def ended(self, ticket: Ticket) -> None:
        """Record a ticket whose last transition ended its order."""
        reason = known(ticket.reason or NO_REASON, REASONS)
        seconds = max(0.0, ticket.history[-1].time - ticket.opened_at)
        self._durations.record(seconds, {"outcome": ticket.status, "reason": reason})
        self._ended.add(1, {"in_time": YES if seconds <= PROMISED_SECONDS else NO})
