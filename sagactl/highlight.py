"""Colours: one for each service, always the same, and those of levels and statuses; none where unwanted."""

import os
import re
import sys
from collections.abc import Mapping

import click

from contract.tickets import (
    APPROVED,
    CANCELED,
    DELIVERY_ARRANGED,
    PAID,
    PAYMENT_FAILED,
    PRE_APPROVED,
    RESERVE_FAILED,
    RESERVED,
)

SERVICE_COLOURS = {
    "purchase": "cyan",
    "stock": "yellow",
    "payment": "magenta",
    "delivery": "blue",
    "gateway": "green",
}
STATUS_COLOURS = {
    PRE_APPROVED: "cyan",
    RESERVED: "yellow",
    PAID: "magenta",
    APPROVED: "green",
    DELIVERY_ARRANGED: "blue",
    RESERVE_FAILED: "red",
    PAYMENT_FAILED: "red",
    CANCELED: "red",
}
_OF_LEVELS = {"debug": "bright_black", "info": "green", "warning": "yellow", "error": "red"}

_LINE = re.compile(r"(?P<time>\S+) \[(?P<level>debug|info|warning|error) *\] (?P<event>.*)")
_STATUS = re.compile(r"\b(?P<name>status)=(?P<status>[a-z-]+)\b")


def wanted(output: int, environ: Mapping[str, str] = os.environ) -> bool:
    """Whether whoever reads the file descriptor sees colours, and wants any (https://no-color.org)."""
    return os.isatty(output) and not environ.get("NO_COLOR") and environ.get("TERM") != "dumb"


def service_colour(name: str) -> str | None:
    """The colour of a service's process, a replica's too; None: it has none."""
    return SERVICE_COLOURS.get(name) or SERVICE_COLOURS.get(name.rpartition("-")[0])


class Highlighter:
    """Colours what processes print, or leaves it as it is."""

    def __init__(self, *, wanted: bool) -> None:
        self._wanted = wanted

    def program(self, name: str, text: str) -> str:
        """Text that stands for a program, such as its name."""
        return click.style(text, fg=service_colour(name), bold=True) if self._wanted else text

    def line(self, line: str) -> str:
        """A line of a service's log, its level and its status in their colours; any other as it is."""
        match = _LINE.fullmatch(line) if self._wanted else None
        if match is None:
            return line
        level = f"[{match['level']:<9}]"
        return " ".join(
            [
                click.style(match["time"], dim=True),
                click.style(level, fg=_OF_LEVELS[match["level"]], bold=match["level"] == "error"),
                _STATUS.sub(_status, match["event"]),
            ]
        )


def _status(match: re.Match[str]) -> str:
    return f"{match['name']}={click.style(match['status'], fg=STATUS_COLOURS.get(match['status']))}"


def paint() -> Highlighter:
    """For this process's standard output."""
    return Highlighter(wanted=wanted(sys.stdout.fileno()))
