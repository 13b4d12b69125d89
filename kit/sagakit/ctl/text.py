"""Text for a terminal: lines that are safe to print, colours, and durations."""

import os
import re
import sys
from collections.abc import Mapping

import click

from sagakit.ctl.project import Project, is_process_of
from sagakit.untrusted import escape

_LEVEL_COLOURS = {"debug": "bright_black", "info": "green", "warning": "yellow", "error": "red"}

_LINE = re.compile(r"(?P<time>\S+) \[(?P<level>debug|info|warning|error) *\] (?P<event>.*)")
_STATUS = re.compile(r"\b(?P<name>status)=(?P<status>[a-z-]+)\b")


def echo(text: object = "", *, colour: str | None = None, err: bool = False) -> None:
    """Print one line on standard output, or standard error.

    Commands print everything with it: ids, reasons, attributes and errors come from outside, and can neither
    begin a line of their own nor control the terminal.
    """
    click.secho(escape(str(text)), fg=colour, err=err)


def colours_wanted(output: int, environ: Mapping[str, str] = os.environ) -> bool:
    """Return whether the file descriptor is a terminal that should get colours (https://no-color.org)."""
    return os.isatty(output) and not environ.get("NO_COLOR") and environ.get("TERM") != "dumb"


def colour_of(name: str, colours: Mapping[str, str]) -> str | None:
    """Return the colour of a program or of one of its replicas; None for others."""
    return next((colour for program, colour in colours.items() if is_process_of(program, name)), None)


def format_duration(seconds: float) -> str:
    """Return a duration in its two largest units: 1h 5m, 2m 10s, 9s."""
    minutes, seconds = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h {minutes}m" if hours else f"{minutes}m {seconds}s" if minutes else f"{seconds}s"


class Highlighter:
    """Colours the output of processes, which is safe to print, if `enabled`; else returns it unchanged."""

    def __init__(self, project: Project, *, enabled: bool) -> None:
        self._project = project
        self._enabled = enabled

    def program(self, name: str, text: str) -> str:
        """Return `text` in the colour of the program."""
        colour = colour_of(name, self._project.colours)
        return click.style(text, fg=colour, bold=True) if self._enabled else text

    def line(self, line: str) -> str:
        """Return a service's log line with level and status in their colours; other lines unchanged."""
        match = _LINE.fullmatch(line) if self._enabled else None
        if match is None:
            return line
        level = f"[{match['level']:<9}]"
        return " ".join(
            [
                click.style(match["time"], dim=True),
                click.style(level, fg=_LEVEL_COLOURS[match["level"]], bold=match["level"] == "error"),
                _STATUS.sub(self._status, match["event"]),
            ]
        )

    def echo(self, line: str) -> None:
        """Print a line of a log, which is safe to print."""
        click.echo(f"  {self.line(line)}")

    def _status(self, match: re.Match[str]) -> str:
        colour = self._project.status_colours.get(match["status"])
        return f"{match['name']}={click.style(match['status'], fg=colour)}"


def highlighter(project: Project) -> Highlighter:
    """Return the highlighter for this process's standard output."""
    return Highlighter(project, enabled=colours_wanted(sys.stdout.fileno()))
