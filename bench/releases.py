"""Results that are kept for each release, and their plot."""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

Run = Mapping[str, Any]
"""A run: its facts, results and targets."""

KEPT = Path(__file__).parent / "results"
KINDS = ("backend", "scenarios")
"""Facts that tell runs of a release apart; of each kind the latest is kept."""
LINES = {
    "orders/s": (
        ("64 clients", "red, 64 clients", "orders_per_s"),
        ("sustainable", "ladder, red", "sustainable_per_s"),
    ),
    "ms, p50": (
        ("red, idle", "saga, red, idle", "p50_ms"),
        ("blue, idle", "saga, blue, idle", "p50_ms"),
    ),
    "orders per CPU-second": (("64 clients", "red, 64 clients", "orders_per_cpu_s"),),
}
"""Plots by title; each line is its label, the row of results and the figure in it."""


def keep(run: Run, directory: Path = KEPT) -> Path:
    """Store a run with the others of its version, in place of an earlier one of its kind."""
    path = directory / f"{run['version']}.json"
    others = [each for each in runs_in(path) if any(each[kind] != run[kind] for kind in KINDS)]
    directory.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"version": run["version"], "runs": [*others, run]}, indent=2) + "\n")
    return path


def runs_in(path: Path) -> list[Run]:
    """Return the runs of a file; none if it does not exist."""
    return list(json.loads(path.read_text())["runs"]) if path.exists() else []


def releases(directory: Path = KEPT) -> list[tuple[str, list[Run]]]:
    """Return the versions with their runs, in the order of the versions."""
    paths = sorted(directory.glob("*.json"), key=lambda path: version_order(path.stem))
    return [(path.stem, runs_in(path)) for path in paths]


def version_order(version: str) -> tuple[list[int], int, str]:
    """Return what sorts versions: 0.9.0, 0.10.0.dev0, 0.10.0."""
    found = re.match(r"(\d+(?:\.\d+)*)(.*)", version)
    numbers, rest = found.groups() if found else ("0", version)
    return [int(number) for number in numbers.split(".")], 0 if rest else 1, rest


def series(
    runs: Sequence[tuple[str, Sequence[Run]]], backend: str, row: str, figure: str
) -> list[tuple[str, float]]:
    """Return version and figure of each release that has it."""
    return [
        (version, float(results[row][figure]))
        for version, of_release in runs
        for results in [_results(of_release, backend)]
        if results.get(row, {}).get(figure) is not None
    ]


def draw_releases(path: Path, directory: Path = KEPT) -> bool:
    """Draw the figures over the releases, as points that lines connect; return whether there are any."""
    found = releases(directory)
    if not found:
        return False
    # Imported here, because the import takes long.
    import matplotlib as mpl  # noqa: PLC0415

    mpl.use("svg")
    from matplotlib import pyplot as plt  # noqa: PLC0415

    figure, plots = plt.subplots(1, len(LINES), figsize=(15, 5), layout="constrained")
    figure.suptitle("Releases. Only figures of the same machine are comparable.")
    for axes, title in zip(plots, LINES, strict=True):
        _plot(axes, title, found)
    path.parent.mkdir(exist_ok=True)
    figure.savefig(path)
    plt.close(figure)
    return True


def _plot(axes: Any, title: str, found: Sequence[tuple[str, Sequence[Run]]]) -> None:
    """Draw the lines of one plot; a release that lacks a figure has no point."""
    versions = [version for version, _ in found]
    for backend in sorted({run["backend"] for _, runs in found for run in runs}):
        for label, row, key in LINES[title]:
            points = series(found, backend, row, key)
            at = [versions.index(version) for version, _ in points]
            if points:
                axes.plot(at, [value for _, value in points], marker="o", label=f"{label}, {backend}")
    axes.set_title(title)
    axes.set_xticks(range(len(versions)), versions)
    axes.set_ylim(bottom=0)
    if axes.lines:
        axes.legend()


def _results(runs: Sequence[Run], backend: str) -> dict[str, Any]:
    """Return the results of all runs on a backend."""
    of_backend = (run for run in runs if run["backend"] == backend)
    return {row: figures for run in of_backend for row, figures in run["results"].items()}
