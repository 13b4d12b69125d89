"""What `sagactl watch` shows, on a terminal of 80 columns or more, or as plain text."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from contract.tickets import APPROVED
from contract.topology import TOPICS
from sagactl import highlight as colours
from sagactl.dashboard.queue_depth import Pile
from sagactl.dashboard.state import State
from sagactl.dashboard.stats import ACCEPTED, Figures, Said

_FAILURES = 4
"""Kinds of failure that are shown; the others are summed up."""
_WIDE = 110
"""From so many columns on there is room for the hour and the reason."""
_OF_STATES = {"running": "green", "stopped": "yellow"}

Row = tuple[Text, str, str]


def screen(state: State, width: int, height: int) -> RenderableType:
    """As much as fits: the lanes get what the figures leave."""
    rates, piles = list(_rates(state.figures)), list(_piles(state))
    figures = Table.grid(padding=(0, 4, 0, 0))
    windows = [f"{rates.window} s" for rates in state.figures.rates]
    figures.add_row(_table("orders a second", windows, rates), _table("waiting", ["", "oldest"], piles))
    rows = 1 + max(len(rates), len(piles))
    around = 5  # the title, the processes, blank ones before and after the figures, the names of the lanes
    lanes = _lanes(state.figures.said, width, max(1, height - rows - around))
    return Group(_title(state, width), Text(), figures, _programs(state), Text(), lanes)


def _title(state: State, width: int) -> Text:
    clock = f" {_hour(state.now)}  q quits"
    how = Text(state.trouble, "bold red") if state.trouble else Text("listening" if state.listening else "…")
    title = Text.assemble(("saga watch", "bold"), "  ", state.where, "  ", how)
    title.truncate(width - len(clock), overflow="ellipsis", pad=True)
    return title + Text(clock, style="dim")


def _table(name: str, columns: Sequence[str], rows: Sequence[Row]) -> Table:
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="dim")
    table.add_column(name, width=24, no_wrap=True, overflow="ellipsis")
    for column in columns:
        table.add_column(column, width=6, justify="right", no_wrap=True)
    for label, *values in rows:
        table.add_row(label, *values)
    return table


def _rates(figures: Figures) -> Iterator[Row]:
    *_, longest = figures.rates
    failures = [what for what in longest.orders if what not in {ACCEPTED, APPROVED}]
    kinds = [[ACCEPTED], [APPROVED], *([what] for what in failures[:_FAILURES])]
    if others := failures[_FAILURES:]:
        kinds.append(others)
    for kind in kinds:
        label = kind[0] if len(kind) == 1 else f"{len(kind)} other failures"
        style = {ACCEPTED: "cyan", APPROVED: "green"}.get(kind[0], "red")
        short, long = (sum(rates.orders.get(what, 0) for what in kind) for rates in figures.rates)
        yield Text(_plain(label), style), _rate(short), _rate(long)
    yield Text("to the end, p50"), "", _in_seconds(figures.p50)
    yield Text("to the end, p95"), "", _in_seconds(figures.p95)


def _piles(state: State) -> Iterator[Row]:
    tickets = state.backlog.tickets if state.backlog else {}
    outboxes = state.backlog.outboxes if state.backlog else {}
    for status in ("pre-approved", "reserved", APPROVED):
        label = Text(status, colours.OF_STATUSES[status])
        yield (
            label.append(", not delivered", "dim") if status == APPROVED else label,
            *_pile(tickets.get(status)),
        )
    for service in TOPICS:
        label = Text("outbox of ").append(service, colours.of_program(service))
        yield label, *_pile(outboxes.get(service))
    letters = state.letters
    yield Text("dead letters", "bold red" if letters and letters.count else ""), *_pile(letters)


def _programs(state: State) -> Text:
    if state.programs is None:
        return Text()
    return Text("  ").join(_program(each) for each in state.programs)


def _program(each: Mapping[str, Any]) -> Text:
    text = Text.assemble(("● ", _OF_STATES.get(each["state"], "bold red")), each["name"])
    return text if each["state"] == "running" else text.append(f" {each['state']}", "bold")


def _lanes(said: Sequence[Said], width: int, rows: int) -> Table:
    """The latest of what was said, each in the lane of the service that said it."""
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="dim")
    wide = width >= _WIDE
    if wide:
        table.add_column("at", width=8)
    table.add_column("order", width=8)
    for service in TOPICS:
        table.add_column(
            Text(service, colours.of_program(service) or ""),
            width=17 if service == "delivery" else 14,
            no_wrap=True,
        )
    table.add_column("after", width=7, justify="right")
    if wide:
        table.add_column("", no_wrap=True, overflow="ellipsis", max_width=width - 100)
    for each in said[-rows:]:
        status = Text(_plain(each.status), colours.OF_STATUSES.get(each.status, ""), overflow="ellipsis")
        lanes = [status if each.service == service else Text() for service in TOPICS]
        cells: list[RenderableType] = [each.orderid[:8], *lanes, _in_seconds(each.since_checkout)]
        table.add_row(*([_hour(each.at), *cells, Text(_plain(each.reason or ""))] if wide else cells))
    return table


def _pile(pile: Pile | None) -> tuple[str, str]:
    if pile is None:
        return "?", ""
    more = "+" if pile.more else ""
    return f"{pile.count}{more}", "" if pile.oldest_seconds is None else _age(pile.oldest_seconds)


def _plain(text: str) -> str:
    """What anybody may have published, without what would upset a terminal."""
    return "".join(each if each.isprintable() else "·" for each in text)


def _rate(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}"


def _in_seconds(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.2f} s" if value < 9.9 else f"{value:.1f} s" if value < 99 else _age(value)


def _age(seconds: float) -> str:
    minutes, seconds = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h {minutes}m" if hours else f"{minutes}m {seconds}s" if minutes else f"{seconds} s"


def _hour(moment: float) -> str:
    return datetime.fromtimestamp(moment).astimezone().strftime("%H:%M:%S")
