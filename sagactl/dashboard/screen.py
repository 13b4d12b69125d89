"""The layout of `sagactl top`, for terminals of at least 80 columns and for plain text."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from datetime import UTC, datetime
from typing import Any, TypeVar, cast

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from contract.tickets import APPROVED, PUBLISHED_BY
from contract.topology import TOPOLOGY
from sagactl.dashboard.dashboard import State
from sagactl.dashboard.queue_depth import AWAITING, QueueDepth
from sagactl.dashboard.stats import ACCEPTED, EventLine, Summary
from sagactl.project import PROJECT
from sagakit.ctl.text import colour_of, format_duration
from sagakit.untrusted import escape

T = TypeVar("T")

_FAILURES = 4
"""Kinds of failure shown; the others are summed."""
_NARROW = 9
"""Columns of the order's id, and of its duration."""
_WIDE = 110
"""Minimum columns for showing time and reason."""
_STATE_COLOURS = {"running": "green", "stopped": "yellow"}

Row = tuple[Text, str, str]


def screen(state: State, width: int, height: int, hint: str = "") -> RenderableType:
    """Return the layout; the events get the lines that the summary leaves.

    `hint`: the keys that a terminal offers; a printed snapshot has none.
    """
    state = _escaped(state)
    rates, depths = list(_rates(state.summary)), list(_depths(state))
    summary = Table.grid(padding=(0, 4, 0, 0))
    windows = [f"{rates.window} s" for rates in state.summary.rates]
    summary.add_row(
        _table("orders per second", 24, dict.fromkeys(windows, 6), rates),
        _table("waiting", 23, {"": 5, "oldest": 8}, depths),
    )
    rows = 1 + max(len(rates), len(depths))
    around = 5  # title, processes, blank lines before and after the summary, names of the services
    events = _events(state.summary.events, width, max(1, height - rows - around))
    return Group(_title(state, width, hint), Text(), summary, _programs(state), Text(), events)


def _title(state: State, width: int, hint: str) -> Text:
    clock = "  ".join(filter(None, (f" {_hour(state.now)}", hint)))
    how = Text(state.warning, "bold red") if state.warning else Text("listening" if state.listening else "…")
    title = Text.assemble(("saga top", "bold"), "  ", state.where, "  ", how)
    title.truncate(width - len(clock), overflow="ellipsis", pad=True)
    return title + Text(clock, style="dim")


def _table(name: str, width: int, columns: Mapping[str, int], rows: Sequence[Row]) -> Table:
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="dim")
    table.add_column(name, width=width, no_wrap=True, overflow="ellipsis")
    for column, each in columns.items():
        table.add_column(column, width=each, justify="right", no_wrap=True)
    for label, *values in rows:
        table.add_row(label, *values)
    return table


def _rates(summary: Summary) -> Iterator[Row]:
    *_, longest = summary.rates
    failures = [kind for kind in longest.orders if kind not in {ACCEPTED, APPROVED}]
    kinds = [[ACCEPTED], [APPROVED], *([kind] for kind in failures[:_FAILURES])]
    if others := failures[_FAILURES:]:
        kinds.append(others)
    for kind in kinds:
        label = kind[0] if len(kind) == 1 else f"{len(kind)} other failures"
        style = {ACCEPTED: "cyan", APPROVED: "green"}.get(kind[0], "red")
        short, long = (sum(rates.orders.get(each, 0) for each in kind) for rates in summary.rates)
        yield Text(label, style), _rate(short), _rate(long)
    yield Text("checkout to final, p50"), "", _in_seconds(summary.p50)
    yield Text("checkout to final, p95"), "", _in_seconds(summary.p95)


def _depths(state: State) -> Iterator[Row]:
    tickets = state.backlog.tickets if state.backlog else {}
    outboxes = state.backlog.outboxes if state.backlog else {}
    for status in AWAITING:
        label = Text(status, PROJECT.status_colours[status])
        yield (
            label.append(", not delivered", "dim") if status == APPROVED else label,
            *_depth(tickets.get(status)),
        )
    for service in TOPOLOGY.topics:
        label = Text("outbox of ").append(service, colour_of(service, PROJECT.colours))
        yield label, *_depth(outboxes.get(service))
    dead_letters = state.dead_letters
    yield (
        Text("dead letters", "bold red" if dead_letters and dead_letters.count else ""),
        *_depth(dead_letters),
    )


def _programs(state: State) -> Text:
    if state.programs is None:
        return Text()
    return Text("  ").join(_program(each) for each in state.programs)


def _program(each: Mapping[str, Any]) -> Text:
    text = Text.assemble(("● ", _STATE_COLOURS.get(each["state"], "bold red")), each["name"])
    return text if each["state"] == "running" else text.append(f" {each['state']}", "bold")


def _events(events: Sequence[EventLine], width: int, rows: int) -> Table:
    """Return the latest events, a column per service."""
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="dim")
    wide = width >= _WIDE
    if wide:
        table.add_column("at", width=8)
    table.add_column("order", width=8)
    for service, lane in _lanes(width).items():
        heading = Text(service, colour_of(service, PROJECT.colours) or "")
        table.add_column(heading, width=lane, no_wrap=True)
    table.add_column("after", width=7, justify="right")
    if wide:
        table.add_column("", no_wrap=True, overflow="ellipsis", max_width=width - 100)
    for each in events[-rows:]:
        status = Text(each.status, PROJECT.status_colours.get(each.status, ""), overflow="ellipsis")
        columns = [status if each.service == service else Text() for service in TOPOLOGY.topics]
        cells: list[RenderableType] = [Text(each.orderid[:8]), *columns, _in_seconds(each.since_checkout)]
        table.add_row(*([_hour(each.at), *cells, Text(each.reason or "")] if wide else cells))
    return table


def _lanes(width: int) -> Mapping[str, int]:
    """Return the width of each service's column: its longest status, or an equal share."""
    longest = {
        service: max(map(len, PUBLISHED_BY.get(service, ())), default=14) for service in TOPOLOGY.topics
    }
    available = width - 2 * _NARROW - len(longest) + 1
    share = width if sum(longest.values()) <= available else available // len(longest)
    return {service: min(lane, share) for service, lane in longest.items()}


def _depth(depth: QueueDepth | None) -> tuple[str, str]:
    if depth is None:
        return "?", ""
    oldest = "" if depth.oldest_seconds is None else format_duration(depth.oldest_seconds)
    return f"{depth.count}{'+' if depth.more else ''}", f"≥{oldest}" if depth.more and oldest else oldest


def _escaped(value: T) -> T:
    """Return the same with every text in it escaped: events, names and warnings come from outside."""
    safe: Any = value
    if isinstance(value, str):
        safe = escape(value)
    elif is_dataclass(value) and not isinstance(value, type):
        safe = replace(value, **{each.name: _escaped(getattr(value, each.name)) for each in fields(value)})
    elif isinstance(value, Mapping):
        safe = {_escaped(key): _escaped(each) for key, each in value.items()}
    elif isinstance(value, list | tuple):
        safe = tuple(_escaped(each) for each in value)
    return cast("T", safe)


def _rate(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}"


def _in_seconds(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.2f} s" if value < 9.9 else f"{value:.1f} s" if value < 99 else format_duration(value)


def _hour(moment: float) -> str:
    try:
        return datetime.fromtimestamp(moment, UTC).astimezone().strftime("%H:%M:%S")
    except (OverflowError, ValueError):  # The publisher's clock can be at any time.
        return "?"
