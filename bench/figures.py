"""Figures: summarize, print, store and draw them, and compare them with targets."""

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Figures = dict[str, Any]


def quantiles(milliseconds: Sequence[float]) -> Figures:
    ordered = sorted(milliseconds)
    return {
        "p50_ms": round(statistics.median(ordered), 1),
        "p99_ms": round(ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))], 1),
    }


@dataclass(frozen=True, slots=True)
class Target:
    """A performance target; a ratio or difference within one run if the machine's speed matters."""

    name: str
    value: float
    limit: float
    at_most: bool
    unit: str

    @property
    def met(self) -> bool:
        return self.value <= self.limit if self.at_most else self.value >= self.limit

    def __str__(self) -> str:
        bound = "at most" if self.at_most else "at least"
        result = "met" if self.met else "MISSED"
        return f"{self.name:<58} {self.value:>8.2f} {self.unit:<6} {bound} {self.limit:g}  {result}"


def at_most(name: str, value: float, limit: float, unit: str) -> Target:
    return Target(name, value, limit, True, unit)


def at_least(name: str, value: float, limit: float, unit: str) -> Target:
    return Target(name, value, limit, False, unit)


def show(results: Mapping[str, Figures]) -> str:
    """Return one line for each row of figures."""
    return "\n".join(
        f"{name:<34} " + "  ".join(f"{key} {value}" for key, value in figures.items())
        for name, figures in results.items()
    )


def as_run(
    facts: Mapping[str, Any], results: Mapping[str, Figures], targets: Sequence[Target]
) -> dict[str, Any]:
    """Return a run as it is stored."""
    outcomes = [
        {"name": each.name, "value": round(each.value, 3), "limit": each.limit, "met": each.met}
        for each in targets
    ]
    return {**facts, "results": dict(results), "targets": outcomes}


def store(path: Path, run: Mapping[str, Any]) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(run, indent=2) + "\n")


def draw(path: Path, title: str, results: Mapping[str, Figures]) -> None:
    """Draw latencies and rates as bars."""
    # Imported here, because the import takes long.
    import matplotlib as mpl  # noqa: PLC0415

    mpl.use("svg")
    from matplotlib import pyplot as plt  # noqa: PLC0415

    figure, (left, right) = plt.subplots(1, 2, figsize=(13, 5), layout="constrained")
    figure.suptitle(title)
    _bars(left, "milliseconds, p50 and p99", results, ("p99_ms", "p50_ms"))
    _bars(right, "orders per second", results, ("orders_per_s",))
    figure.savefig(path)
    plt.close(figure)


def _bars(axes: Any, title: str, results: Mapping[str, Figures], keys: Sequence[str]) -> None:
    rows = {name: figures for name, figures in results.items() if keys[0] in figures}
    axes.set_title(title)
    axes.invert_yaxis()
    for key in keys:
        axes.barh(list(rows), [figures[key] for figures in rows.values()], label=key, alpha=0.7)
    axes.legend()
