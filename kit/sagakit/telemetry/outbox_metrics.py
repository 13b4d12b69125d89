"""Depth and age of the outbox, as far as this process knows them, without a query."""

from collections.abc import Callable, Iterable, Mapping

from sagakit.events import Event, published_at
from sagakit.telemetry import metrics
from sagakit.telemetry.instruments import Metrics

FORGOTTEN_AFTER_SECONDS = 15 * 60.0
"""Age at which an event that the relay gave up is no longer counted.

A sweeper claims it within 10 minutes; if that is another process's, this one never learns of it.
"""
MAX_GIVEN_UP = 50_000


class OutboxMetrics:
    """Tracks the events in the relay, and those that the relay gave up and left to a sweeper."""

    def __init__(self, metrics_: Metrics, now: Callable[[], float], monotonic: Callable[[], float]) -> None:
        self._now = now
        self._monotonic = monotonic
        self._in_flight: dict[str, float] = {}
        """When each event was published by the service (wall clock), by eventid."""
        self._given_up: dict[str, tuple[float, float]] = {}
        """The same, and when the relay gave it up (monotonic), in the order of the latter."""
        metrics_.gauge(metrics.OUTBOX_DEPTH, lambda: [(len(self._known()), {})])
        metrics_.gauge(metrics.OUTBOX_AGE, lambda: [(self._oldest_age_seconds(), {})])

    def enqueued(self, event: Event) -> None:
        """Count an event that the relay has."""
        now = self._now()
        published, _ = self._given_up.pop(event.eventid, (published_at(event.attributes) or now, 0.0))
        self._in_flight.setdefault(event.eventid, published)

    def removed(self, eventids: Iterable[str]) -> None:
        """Stop counting events that are published."""
        for eventid in eventids:
            self._in_flight.pop(eventid, None)

    def given_up(self, eventids: Iterable[str]) -> None:
        """Keep counting events that the relay left in the outbox, up to MAX_GIVEN_UP."""
        now = self._monotonic()
        for eventid in eventids:
            published = self._in_flight.pop(eventid, None)
            if published is not None and len(self._given_up) < MAX_GIVEN_UP:
                self._given_up[eventid] = (published, now)
        while self._given_up and now - next(iter(self._given_up.values()))[1] >= FORGOTTEN_AFTER_SECONDS:
            del self._given_up[next(iter(self._given_up))]

    def _oldest_age_seconds(self) -> float:
        now = self._now()
        return max(0.0, now - min(self._known().values(), default=now))

    def _known(self) -> Mapping[str, float]:
        # The dicts are copied before they are iterated over: a scrape runs in another thread.
        now, given_up = self._monotonic(), list(self._given_up.items())
        known = {
            eventid: published
            for eventid, (published, since) in given_up
            if now - since < FORGOTTEN_AFTER_SECONDS
        }
        return {**known, **dict(self._in_flight)}
