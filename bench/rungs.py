"""Rungs of the ladder: the conditions under which a rung counts, and its figures."""

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bench.figures import Figures, quantiles
from bench.open_loop import OK, Observed
from bench.suite import Queued

MAX_GROWTH = 1.5
"""Maximum ratio of a queue in the last third of a rung to the same queue in the first third."""
SLACK = 10
"""Entries by which a queue may grow in any case: at low rates queues are nearly empty."""
RAMP = 0.1
"""Share of a rung at its start that is left out, because its queues start empty."""
MAX_SETTLE_SECONDS = 5.0
"""Maximum time from the end of the arrivals until all orders have ended and the queues are empty."""
MAX_LAG_MS = 250.0
"""Maximum lag of the load generator itself, p99: beyond it, the rung has measured the generator."""


@dataclass(frozen=True, slots=True)
class Rung:
    """A measured rung."""

    rate: float
    """Orders per second, as offered."""
    seconds: float
    observed: Observed
    approved_in_time: int
    """Orders approved before the arrivals ended."""
    queued: tuple[Queued, Queued]
    """The suite's queues after a third of the rung, and at the end of its arrivals."""
    settle_seconds: float

    @property
    def in_flight(self) -> tuple[float, float]:
        return thirds(self.observed.in_flight)


def thirds(samples: Sequence[float]) -> tuple[float, float]:
    """Return the means of the first and of the last third of the samples, after the ramp."""
    steady = samples[int(len(samples) * RAMP) :]
    third = max(1, len(steady) // 3)
    return (statistics.mean(steady[:third]), statistics.mean(steady[-third:])) if steady else (0.0, 0.0)


def is_flat(first: float, last: float) -> bool:
    """Whether a queue has not grown, apart from what chance explains."""
    return last <= MAX_GROWTH * first + SLACK


def problems(rung: Rung) -> list[str]:
    """Return why a rung does not count; empty if its rate is sustainable."""
    return [*_growing(rung), *_lost(rung.observed), *_late(rung)]


def _growing(rung: Rung) -> Iterator[str]:
    early, end = rung.queued
    queues = {
        "orders in flight": rung.in_flight,
        "tickets that await a reply": (early.tickets, end.tickets),
        "unpublished events": (early.outboxes, end.outboxes),
    }
    for name, (first, last) in queues.items():
        if not is_flat(first, last):
            yield f"{name} grew from {first:.0f} to {last:.0f}"


def _lost(observed: Observed) -> Iterator[str]:
    for answer, count in sorted(observed.answers.items()):
        if answer != OK:
            yield f"{count} checkouts ended with {answer}"
    if observed.unsent:
        yield f"{observed.unsent} orders were not sent, too many were in flight"
    if observed.unfinished:
        yield f"{observed.unfinished} orders were accepted and not approved in time"


def _late(rung: Rung) -> Iterator[str]:
    if rung.settle_seconds > MAX_SETTLE_SECONDS:
        yield f"the queues were empty only after {rung.settle_seconds:.1f} s"
    if (lag := _p99(rung.observed.lags)) > MAX_LAG_MS:
        yield f"the load generator lagged by {lag:.0f} ms (p99)"


def figures(rung: Rung) -> Figures:
    """Return the rung's figures; latencies are from the time at which an order was due."""
    observed, (first, last) = rung.observed, rung.in_flight
    return {
        "offered_per_s": rung.rate,
        "seconds": rung.seconds,
        "orders": len(observed.lags) + observed.unsent,
        "orders_per_s": round(rung.approved_in_time / rung.seconds, 1),
        **(quantiles(observed.sagas) if observed.sagas else {}),
        "in_flight": [round(first, 1), round(last, 1)],
        "tickets": [each.tickets for each in rung.queued],
        "outboxes": [each.outboxes for each in rung.queued],
        "settle_s": round(rung.settle_seconds, 1),
        "lag_p99_ms": round(_p99(observed.lags), 1),
        "answers": dict(sorted(observed.answers.items())),
        "problems": problems(rung),
    }


def _p99(milliseconds: Sequence[float]) -> float:
    return float(quantiles(milliseconds)["p99_ms"]) if milliseconds else 0.0


def sustainable(rungs: Sequence[Rung]) -> Rung | None:
    """Return the highest rung that counts, below the lowest one that does not; None if no rung counts."""
    highest = None
    for rung in sorted(rungs, key=lambda each: each.rate):
        if problems(rung):
            break
        highest = rung
    return highest
