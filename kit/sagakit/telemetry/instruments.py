"""Metric instruments: declared as data, created where they are used.

Only OpenTelemetry's API is needed here; if metrics are off, recording a value does nothing.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from opentelemetry import metrics
from opentelemetry.metrics import CallbackOptions, Meter, NoOpMeter, Observation

Labels = Mapping[str, str]
"""The values of an instrument's attributes. Each attribute may take a few values only."""
Observe = Callable[[], Iterable[tuple[float, Labels]]]
"""Returns a gauge's current values. It is called from another thread than the event loop's."""

SECONDS = "s"
LATENCY = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Bucket bounds in seconds, for durations that a caller waits for."""


@dataclass(frozen=True, slots=True)
class Instrument:
    """Declaration of a metric: its OpenTelemetry name, description and attributes."""

    name: str
    unit: str
    """In UCUM; the things that are counted in braces."""
    description: str
    attributes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Counter(Instrument):
    """A sum that only grows."""


@dataclass(frozen=True, slots=True)
class Histogram(Instrument):
    """A distribution of durations, counted in buckets."""

    bounds: tuple[float, ...] = LATENCY


@dataclass(frozen=True, slots=True)
class Gauge(Instrument):
    """A value at the moment of collection."""


class Metrics:
    """Creates the instruments of one process, each at most once."""

    def __init__(self, meter: Meter | None = None) -> None:
        """Without a `meter` nothing is recorded."""
        self.enabled = meter is not None
        self._meter = meter or NoOpMeter("saga")

    def counter(self, declared: Counter, start: Sequence[Labels] = ({},)) -> metrics.Counter:
        """Return the counter, at 0 for each of the labels `start`: their first value is an increase then."""
        counter = self._meter.create_counter(declared.name, declared.unit, declared.description)
        for labels in start:
            counter.add(0, dict(labels))
        return counter

    def histogram(self, declared: Histogram) -> metrics.Histogram:
        """Return the histogram. Its bounds are those of the declaration."""
        return self._meter.create_histogram(
            declared.name,
            declared.unit,
            declared.description,
            explicit_bucket_boundaries_advisory=declared.bounds,
        )

    def gauge(self, declared: Gauge, observe: Observe) -> None:
        """Register `observe` as the callback that supplies the gauge's value at collection time."""

        def observed(_: CallbackOptions) -> Iterable[Observation]:
            return [Observation(value, dict(labels)) for value, labels in observe()]

        self._meter.create_observable_gauge(declared.name, [observed], declared.unit, declared.description)


NO_METRICS = Metrics()
