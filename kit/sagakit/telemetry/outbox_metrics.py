"""The backlog: what a process knows to be in its outbox and unpublished, without asking the store."""

from collections.abc import Iterable, Mapping

from sagakit.events import Event, published_at
from sagakit.runtime import Runtime
from sagakit.telemetry import metrics

FORGOTTEN_AFTER_SECONDS = 15 * 60.0
"""What was given up is swept within 10 minutes, by this process or by another one, which tells nobody."""

MAX_GIVEN_UP = 50_000


class OutboxMetrics:
    """Events in the relay's hands, and those it gave up to whichever sweeper comes by."""

    def __init__(self, runtime: Runtime) -> None:
        self._now = runtime.now
        self._in_flight: dict[str, float] = {}
        self._given_up: dict[str, tuple[float, float]] = {}
        runtime.metrics.gauge(metrics.OUTBOX_DEPTH, lambda: [(len(self._said()), {})])
        runtime.metrics.gauge(metrics.OUTBOX_AGE, lambda: [(self._oldest_age_seconds(), {})])

    def take(self, event: Event) -> None:
        """It is in the relay's hands."""
        now = self._now()
        said, _ = self._given_up.pop(event.eventid, (published_at(event.attributes) or now, now))
        self._in_flight.setdefault(event.eventid, said)

    def done(self, eventids: Iterable[str]) -> None:
        """They are published, and out of the outbox."""
        for eventid in eventids:
            self._in_flight.pop(eventid, None)

    def give_up(self, eventids: Iterable[str]) -> None:
        """They stay in the outbox for the time being."""
        now = self._now()
        for eventid in eventids:
            said = self._in_flight.pop(eventid, None)
            if said is not None and len(self._given_up) < MAX_GIVEN_UP:
                self._given_up[eventid] = (said, now)
        while self._given_up and now - next(iter(self._given_up.values()))[1] >= FORGOTTEN_AFTER_SECONDS:
            del self._given_up[next(iter(self._given_up))]

    def _oldest_age_seconds(self) -> float:
        now = self._now()
        return max(0.0, now - min(self._said().values(), default=now))

    def _said(self) -> Mapping[str, float]:
        # Copied whole, as a scrape comes from another thread.
        now, given_up = self._now(), list(self._given_up.items())
        known = {
            eventid: said for eventid, (said, since) in given_up if now - since < FORGOTTEN_AFTER_SECONDS
        }
        return {**known, **dict(self._in_flight)}
