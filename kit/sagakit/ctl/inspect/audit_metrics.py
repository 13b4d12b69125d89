"""The metrics of an audit in slices, which a scheduled run serves until they have been collected."""

from collections.abc import Sequence
from functools import partial

from sagakit.audits import SliceReport
from sagakit.telemetry.instruments import Gauge, Labels, Metrics

PROBLEMS = Gauge("saga.audit.problems", "{problem}", "Disagreements between records that the run has found.")
ENTITIES = Gauge("saga.audit.entities", "{entity}", "Entities that the run has read.")
COMPLETE = Gauge("saga.audit.complete", "1", "1 if the run has checked its whole slice, else 0.")


def record(metrics: Metrics, reports: list[SliceReport]) -> None:
    """Let the gauges show the result of a run."""
    problems = sum(len(found) for report in reports for found in report.problems.values())
    for gauge, value in (
        (PROBLEMS, problems),
        (ENTITIES, sum(report.entities for report in reports)),
        (COMPLETE, int(all(report.complete for report in reports))),
    ):
        metrics.gauge(gauge, partial(_constant, value))


def _constant(value: float) -> Sequence[tuple[float, Labels]]:
    return [(value, {})]
