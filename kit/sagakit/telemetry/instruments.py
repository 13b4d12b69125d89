"""How something is measured: instruments are declared as data, and made where they are used.

Only the OpenTelemetry API is known here; where nobody asked for metrics, recording one does nothing.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from opentelemetry import metrics
from opentelemetry.metrics import CallbackOptions, Meter, NoOpMeter, Observation

Labels = Mapping[str, str]
"""The values of an instrument's attributes, each of which takes a few values at most."""
Observe = Callable[[], Iterable[tuple[float, Labels]]]
"""What a gauge shows at the moment. It is called by another thread than the event loop's."""

SECONDS = "s"
LATENCY = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Bounds in seconds, for what a caller waits for."""


@dataclass(frozen=True, slots=True)
class Instrument:
    """A metric as it is declared: its OpenTelemetry name, what it tells, by which attributes."""

    name: str
    unit: str
    """UCUM; what is counted stands in braces."""
    description: str
    attributes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Counter(Instrument):
    """So many until now."""


@dataclass(frozen=True, slots=True)
class Histogram(Instrument):
    """How many were how long, and so how many there were."""

    bounds: tuple[float, ...] = LATENCY


@dataclass(frozen=True, slots=True)
class Gauge(Instrument):
    """How much it is now."""


class Metrics:
    """Makes instruments of one process. Each may be made once."""

    def __init__(self, meter: Meter | None = None) -> None:
        """Without a `meter` nothing is measured."""
        self.enabled = meter is not None
        self._meter = meter or NoOpMeter("saga")

    def counter(self, declared: Counter, start: Sequence[Labels] = ({},)) -> metrics.Counter:
        """`start`: of which it says 0 from the beginning, so that a first one is seen as an increase."""
        counter = self._meter.create_counter(declared.name, declared.unit, declared.description)
        for labels in start:
            counter.add(0, dict(labels))
        return counter

    def histogram(self, declared: Histogram) -> metrics.Histogram:
        return self._meter.create_histogram(
            declared.name,
            declared.unit,
            declared.description,
            explicit_bucket_boundaries_advisory=declared.bounds,
        )

    def gauge(self, declared: Gauge, observe: Observe) -> None:
        """From now on it shows what `observe` returns, whenever somebody looks."""

        def observed(_: CallbackOptions) -> Iterable[Observation]:
            return [Observation(value, dict(labels)) for value, labels in observe()]

        self._meter.create_observable_gauge(declared.name, [observed], declared.unit, declared.description)


NO_METRICS = Metrics()
