"""Records what the core does, as spans and metrics."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from opentelemetry.trace import INVALID_SPAN, Span

from sagakit.bus import Delivery
from sagakit.consumer import Consumer, Outcome
from sagakit.errors import Poison
from sagakit.events import Event, published_at
from sagakit.observer import NO_KIND, Observer, Report
from sagakit.runtime import Runtime
from sagakit.tables import Entity, Key, Row
from sagakit.telemetry import metrics
from sagakit.telemetry.instruments import NO_METRICS, Metrics
from sagakit.telemetry.outbox_metrics import OutboxMetrics
from sagakit.telemetry.overdue import Overdue
from sagakit.telemetry.spans import Spans, record_error, set_attribute

_MESSAGES = {outcome.label: outcome.value for outcome in Outcome}


class Recorder(Observer):
    """The observer of one process. Its instruments exist, at 0, as soon as it does."""

    def __init__(
        self,
        metrics_: Metrics = NO_METRICS,
        spans: Spans | None = None,
        dead_letter_reasons: Iterable[str] = (),
        now: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`dead_letter_reasons` are the application's, counted by reason as the kit's own are.

        `now` and `monotonic` are the clocks of the process's `Runtime`.
        """
        self.metrics = metrics_
        self.spans = spans or Spans()
        self.overdue = Overdue(now, monotonic)
        self._now, self._monotonic = now, monotonic
        self._publish_spans: dict[str, Span] = {}
        """By eventid, from the relay's queue to the broker's answer."""
        self._outbox = OutboxMetrics(metrics_, now, monotonic)
        self._transactions = metrics_.histogram(metrics.TRANSACTION_DURATION)
        self._conflicts = metrics_.counter(metrics.TRANSACTION_CONFLICTS)
        self._lookup_keys = metrics_.histogram(metrics.LOOKUP_KEYS)
        self._commit_transactions = metrics_.histogram(metrics.COMMIT_TRANSACTIONS)
        self._publish_durations = metrics_.histogram(metrics.PUBLISH_DURATION)
        self._published = metrics_.counter(metrics.PUBLISHED)
        self._event_durations = metrics_.histogram(metrics.EVENT_DURATION)
        self._event_ages = metrics_.histogram(metrics.EVENT_AGE)
        self._reasons = {*metrics.DEAD_LETTER_REASONS, *dead_letter_reasons}
        known = [{"reason": reason} for reason in self._reasons]
        self._dead_letters = metrics_.counter(metrics.DEAD_LETTERS, known)
        self._failed_rows = metrics_.counter(metrics.ROWS_FAILED, [{"kind": NO_KIND}])
        self._failed_tasks = metrics_.counter(metrics.TASKS_FAILED, [])
        metrics_.gauge(metrics.REMINDERS_OVERDUE, self.overdue.counts)
        metrics_.gauge(metrics.REMINDERS_OVERDUE_AGE, self.overdue.oldest_ages)

    def observe_consumer(self, consumer: Consumer) -> None:
        """Register the gauges that show the consumer's state."""

        def by_subscription(value: Callable[[str], float]) -> list[tuple[float, dict[str, str]]]:
            return [(value(name), {"subscription": name}) for name in consumer.subscriptions]

        in_flight, pulled = consumer.in_flight, consumer.pulled
        self.metrics.gauge(metrics.EVENTS_IN_FLIGHT, lambda: by_subscription(lambda name: in_flight[name]))
        self.metrics.gauge(metrics.SUBSCRIPTION_ACTIVE, lambda: by_subscription(lambda name: name in pulled))
        self.metrics.gauge(metrics.CONSUMER_SATURATED, lambda: [(consumer.is_saturated, {})])

    def observe_kinds(self, kinds: Iterable[str]) -> None:
        """Start counting the failed rows of these kinds at 0."""
        for kind in kinds:
            self._failed_rows.add(0, {"kind": kind})

    def observe_reasons(self, reasons: Iterable[str]) -> None:
        """Count dead letters with these reasons by reason, from 0."""
        for reason in reasons:
            self._reasons.add(reason)
            self._dead_letters.add(0, {"reason": reason})

    def observe_tasks(self, names: Iterable[str]) -> None:
        """Start counting the failures of these tasks at 0."""
        for name in names:
            self._failed_tasks.add(0, {"task": name})

    @contextmanager
    def transaction(self) -> Iterator[Report]:
        began, outcome = self._monotonic(), metrics.RAISED

        def report(committed: object) -> None:
            nonlocal outcome
            outcome = metrics.COMMITTED if committed else metrics.UNCHANGED

        try:
            with self.spans.transaction():
                yield report
        finally:
            self._transactions.record(self._monotonic() - began, {"outcome": outcome})

    def looked_up(self, keys: int) -> None:
        self._lookup_keys.record(keys)

    def sent_commit(self, transactions: int) -> None:
        self._commit_transactions.record(transactions)

    def attempt(self, number: int) -> None:
        set_attribute("attempt", number)

    def conflict(self) -> None:
        self._conflicts.add(1)

    def annotate(
        self, topic: str, writes: Mapping[Key, Entity], events: Sequence[Event]
    ) -> tuple[Mapping[Key, Entity], Sequence[Event]]:
        return self.spans.annotate(topic, writes, events)

    def committed(self, keys: Iterable[Key]) -> None:
        self.overdue.discard(keys)

    def enqueued(self, topic: str, event: Event, claims: int) -> None:
        self._outbox.enqueued(event)
        # A row that is taken over while its event is still in the relay continues under its first span.
        if self.spans.tracer and event.eventid not in self._publish_spans:
            self._publish_spans[event.eventid] = self.spans.publishing(topic, event, claims)

    @contextmanager
    def publishing(self, count: int) -> Iterator[None]:
        began, outcome = self._monotonic(), metrics.UNAVAILABLE
        try:
            yield
            self._published.add(count)
            outcome = metrics.OK
        except Poison:
            outcome = metrics.ERROR
            raise
        finally:
            self._publish_durations.record(self._monotonic() - began, {"outcome": outcome})

    def published(self, events: Sequence[Event]) -> None:
        self._end_publish_spans(events)

    def removed(self, eventids: Iterable[str]) -> None:
        self._outbox.removed(eventids)

    def given_up(self, events: Sequence[Event], error: Exception) -> None:
        self._end_publish_spans(events, error)
        self._outbox.given_up(event.eventid for event in events)

    def _end_publish_spans(self, events: Sequence[Event], error: Exception | None = None) -> None:
        if not self._publish_spans:
            return
        for event in events:
            span = self._publish_spans.pop(event.eventid, INVALID_SPAN)
            span.set_attribute("messaging.batch.message_count", len(events))
            if error is not None:
                record_error(error, span)
            span.end()

    @contextmanager
    def delivery(self, subscription: str, delivery: Delivery) -> Iterator[Report]:
        began, labels = self._monotonic(), {"subscription": subscription}
        if (published := published_at(delivery.message.attributes)) is not None:
            self._event_ages.record(max(0.0, self._now() - published), labels)

        def report(outcome: str, error: Exception | None = None) -> None:
            labels["outcome"] = outcome
            if error is not None:
                record_error(error)
            if isinstance(error, Poison):
                self._dead_letters.add(1, {"reason": metrics.known(error.reason, self._reasons)})
            if outcome in _MESSAGES:
                set_attribute("outcome", _MESSAGES[outcome])

        with self.spans.processing(subscription, delivery):
            yield report
        self._event_durations.record(self._monotonic() - began, labels)

    def ignored(self, subscription: str) -> None:
        self._event_durations.record(0.0, {"subscription": subscription, "outcome": Outcome.IGNORED.label})

    def sweep(self, kind: str, found: int) -> AbstractContextManager[Any]:
        return self.spans.sweeping(kind, found)

    def claim(self, key: Key, row: Row) -> AbstractContextManager[Any]:
        return self.spans.claiming(key, row)

    def row_failed(self, kind: str) -> None:
        self._failed_rows.add(1, {"kind": kind})

    def task_failed(self, name: str) -> None:
        self._failed_tasks.add(1, {"task": name})

    def reminding(self, *, active: bool) -> None:
        self.overdue.expire() if active else self.overdue.pause()

    def waiting(self, key: Key, entity: Entity, due: float) -> None:
        self.overdue.record(key, entity, due)

    def settled(self, key: Key) -> None:
        self.overdue.discard([key])


def recorder_of(runtime: Runtime) -> Recorder:
    """Return the runtime's observer if it is a recorder, else one that records nothing."""
    return runtime.observer if isinstance(runtime.observer, Recorder) else Recorder()
