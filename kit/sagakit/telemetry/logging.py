"""Logs: one line per event on standard output, with a constant message and fields."""

import logging
import os
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import TextIO, cast

import structlog
from structlog.typing import Processor

from sagakit.settings import LogSettings
from sagakit.telemetry.cloud_logging import Line, add_trace, to_entry, to_json
from sagakit.telemetry.log_output import LogOutput
from sagakit.untrusted import escape

log = structlog.get_logger()

_TRACEBACKS = {"exception", "stack"}


def configure(service: str, settings: LogSettings, first_fields: Sequence[str] = ()) -> None:
    """Configure logging for the process: our own and third-party log records use the same format.

    Third-party records below WARNING are dropped. `first_fields` come first on a line of the console.
    """
    open_standard_streams()
    level = logging.getLevelNamesMapping()[settings.level.upper()]
    output = cast("TextIO", LogOutput(sys.stdout))
    common: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
    ]
    json = [structlog.processors.format_exc_info, to_entry(service, settings.project), to_json]
    rendering = json if settings.format == "json" else _console(first_fields)
    structlog.configure(
        processors=[*common, *rendering],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        # Each line in one write, so that lines of several threads do not mix.
        logger_factory=structlog.WriteLoggerFactory(output),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(output)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*common, structlog.stdlib.add_logger_name],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *rendering],
        )
    )
    logging.basicConfig(level=max(level, logging.WARNING), handlers=[handler], force=True)
    _log_uncaught_exceptions()


def open_standard_streams() -> None:
    """Open the standard streams that the caller closed, on /dev/null.

    Otherwise the files that are opened next take their descriptors, and what is printed is written to them.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open(mode, encoding="utf-8"))  # noqa: SIM115


def _console(first_fields: Sequence[str]) -> list[Processor]:
    def in_order(_logger: object, _name: str, line: Line) -> Line:
        return {**{name: line[name] for name in first_fields if name in line}, **line}

    renderer = structlog.dev.ConsoleRenderer(
        colors=sys.stdout.isatty(), pad_event_to=24, sort_keys=False, timestamp_key="time"
    )
    # The renderer's own tracebacks show local variables, tokens among them, if `rich` is installed.
    return [add_trace, structlog.processors.format_exc_info, _escaped, in_order, renderer]


def _escaped(_logger: object, _name: str, line: Line) -> Line:
    """Escape every value, so that none can look like another line; indent tracebacks for the same reason."""
    return {name: _indented(value) if name in _TRACEBACKS else _text(value) for name, value in line.items()}


def _text(value: object) -> str:
    return escape(value if isinstance(value, str) else repr(value))


def _indented(text: str) -> str:
    return "\n".join(f"  {escape(line)}" for line in text.split("\n"))


def _log_uncaught_exceptions() -> None:
    """Log what Python would print to standard error: warnings and tracebacks of uncaught exceptions."""
    logging.captureWarnings(True)
    sys.excepthook = _crashed
    sys.unraisablehook = lambda what: _uncaught("a finalizer", what.exc_value)
    threading.excepthook = lambda what: _uncaught("a thread", what.exc_value)


def _crashed(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, traceback)
    else:
        _uncaught("the process", error)


def _uncaught(where: str, error: BaseException | None) -> None:
    log.error("uncaught exception", where=where, exc_info=error)
