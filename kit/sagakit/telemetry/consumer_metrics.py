"""What is measured of deliveries: how old, for how long in hand, and what became of them."""

from collections.abc import Callable, Collection, Mapping, Sequence

from sagakit.events import published_at
from sagakit.runtime import Runtime
from sagakit.telemetry import metrics


class ConsumerMetrics:
    """Tells the metrics of one consumer what happens to its deliveries."""

    def __init__(
        self,
        runtime: Runtime,
        subscriptions: Sequence[str],
        in_flight: Mapping[str, int],
        pulled: Collection[str],
        is_saturated: Callable[[], bool],
    ) -> None:
        """`in_flight`, `pulled` and `is_saturated` are the consumer's own, looked at when somebody asks."""
        measures = runtime.metrics
        self._now = runtime.now
        self._durations = measures.histogram(metrics.EVENT_DURATION)
        self._ages = measures.histogram(metrics.EVENT_AGE)
        reasons = [{"reason": reason} for reason in metrics.DEAD_LETTER_REASONS]
        self._dead_letters = measures.counter(metrics.DEAD_LETTERS, reasons)
        by_name = [(name, {"subscription": name}) for name in subscriptions]
        measures.gauge(
            metrics.EVENTS_IN_FLIGHT, lambda: [(in_flight.get(name, 0), of) for name, of in by_name]
        )
        measures.gauge(metrics.SUBSCRIPTION_ACTIVE, lambda: [(name in pulled, of) for name, of in by_name])
        measures.gauge(metrics.CONSUMER_SATURATED, lambda: [(is_saturated(), {})])

    def received(self, subscription: str, attributes: Mapping[str, str]) -> float:
        """Returns when that was."""
        now = self._now()
        if (said := published_at(attributes)) is not None:
            self._ages.record(max(0.0, now - said), {"subscription": subscription})
        return now

    def settled(self, subscription: str, since: float, outcome: str) -> None:
        seconds = max(0.0, self._now() - since)
        self._durations.record(seconds, {"subscription": subscription, "outcome": outcome})

    def refused(self, reason: str) -> None:
        """It is a dead letter now."""
        self._dead_letters.add(1, {"reason": metrics.known(reason, metrics.DEAD_LETTER_REASONS)})
