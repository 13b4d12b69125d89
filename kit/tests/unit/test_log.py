"""Logs: every line a process prints is of its format, whoever says it, and joins its trace."""

import json
import subprocess
import sys

import pytest
from opentelemetry.sdk.trace import TracerProvider

from sagakit.telemetry.cloud_logging import REPORTED_ERROR, SAMPLED, SPAN, TRACE, add_trace, to_entry

CONFIGURED = """
import asyncio, logging, sys, threading, warnings
import structlog
from sagakit.telemetry import logging as logs
settings = logs.LogSettings({format!r}, {level!r}, "a-project")
logs.configure("stock", settings, ("orderid", "status", "eventid", "attempt"))
log = structlog.get_logger()
"""

EVERYTHING_THAT_TALKS = """
structlog.contextvars.bind_contextvars(orderid="o-1")
log.info("event applied", attempt=1, odd=object(), half="\\ud800", lines="a\\nb")
log.warning("pulling paused", message="a field that is called as a special one", severity=3)
log.info("to be seen by nobody else", level_of_detail=float("inf"))
try:
    1 / 0
except ZeroDivisionError:
    log.exception("event failed")
    logging.getLogger("a.library").exception("went\\nwrong: %s", "here")
logging.getLogger("a.library").warning("beware")
logging.getLogger("a.library").info("chatter")
warnings.warn("old")

async def forgets():
    async def fails():
        raise ValueError("nobody waits for me")
    asyncio.create_task(fails())
    await asyncio.sleep(0)
    await asyncio.sleep(0)

asyncio.run(forgets())
thread = threading.Thread(target=lambda: 1 / 0)
thread.start()
thread.join()

class Ends:
    def __del__(self):
        raise ValueError("in a finalizer")

Ends()
raise SystemError("at last")
"""


def run(code, format="json", level="info"):
    script = CONFIGURED.format(format=format, level=level) + code
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)


def said(code, **settings):
    return [json.loads(line) for line in run(code, **settings).stdout.splitlines()]


def strict(line):
    def refuse(constant):
        raise ValueError(constant)

    return json.loads(line, parse_constant=refuse)


@pytest.fixture
def span():
    tracer = TracerProvider().get_tracer("test")
    with tracer.start_as_current_span("event") as span:
        yield span.get_span_context()


def test_whoever_says_something_says_it_as_one_json_object_a_line():
    process = run(EVERYTHING_THAT_TALKS)

    lines = [strict(line) for line in process.stdout.splitlines()]

    assert process.stderr == ""
    assert process.returncode == 1
    assert [(line["severity"], line["message"]) for line in lines] == [
        ("INFO", "event applied"),
        ("WARNING", "pulling paused"),
        ("INFO", "to be seen by nobody else"),
        ("ERROR", "event failed"),
        ("ERROR", "went\nwrong: here"),
        ("WARNING", "beware"),
        ("WARNING", lines[6]["message"]),
        ("ERROR", lines[7]["message"]),
        ("ERROR", "uncaught exception"),
        ("ERROR", "uncaught exception"),
        ("ERROR", "uncaught exception"),
    ]
    assert "UserWarning: old" in lines[6]["message"]
    assert "never retrieved" in lines[7]["message"]
    assert [line.get("where") for line in lines[8:]] == ["a thread", "a finalizer", "the process"]
    assert {line["serviceContext"]["service"] for line in lines} == {"stock"}
    assert all(line["time"].endswith("Z") for line in lines)
    assert (lines[0]["orderid"], lines[0]["attempt"]) == ("o-1", 1)
    assert lines[5]["logger"] == "a.library"


def test_a_traceback_is_inside_its_line_and_reported_as_an_error():
    lines = said(EVERYTHING_THAT_TALKS)
    with_traceback = [line for line in lines if "stack_trace" in line]

    assert [line["@type"] for line in with_traceback] == [REPORTED_ERROR] * 6
    assert all(line["stack_trace"].startswith("Traceback (most") for line in with_traceback)
    assert with_traceback[0]["stack_trace"].endswith("ZeroDivisionError: division by zero")
    assert all("@type" not in line for line in lines if "stack_trace" not in line)


def test_the_level_decides_what_is_said():
    code = """
for level in ("debug", "info", "warning", "error"):
    getattr(log, level)(level)
    getattr(logging.getLogger("a.library"), level)("library " + level)
"""

    def heard(level):
        return [line["message"] for line in said(code, level=level)]

    everything = ["debug", "info", "warning", "library warning", "error", "library error"]
    assert heard("debug") == everything
    assert heard("info") == everything[1:]
    assert heard("warning") == everything[2:]
    assert heard("error") == everything[4:]


def test_at_a_terminal_the_order_comes_first_and_a_library_speaks_alike():
    code = """
structlog.contextvars.bind_contextvars(eventid="e-1", subscription="s", orderid="o-1", status="paid")
log.info("event applied", attempt=2)
logging.getLogger("a.library").warning("beware")
"""
    ours, theirs = run(code, format="console").stdout.splitlines()

    facts = "orderid=o-1 status=paid eventid=e-1 attempt=2 subscription=s"
    assert " ".join(ours[27:].split()) == f"[info ] event applied {facts}"
    assert ours[:4].isdecimal()
    assert "[warning  ] beware" in theirs
    assert "a.library" in theirs


def entry(project="a-project"):
    return to_entry("stock", project)(None, "", {"event": "said", "level": "info", "time": "now"})


def test_a_line_is_joined_with_the_trace_it_was_written_under(span):
    line = entry()

    assert line[TRACE] == f"projects/a-project/traces/{span.trace_id:032x}"
    assert line[SPAN] == f"{span.span_id:016x}"
    assert line[SAMPLED] is True
    assert entry(project="")[TRACE] == f"{span.trace_id:032x}"
    assert add_trace(None, "", {}) == {"trace": f"{span.trace_id:032x}"}


def test_without_a_trace_none_is_named():
    assert entry() == {
        "severity": "INFO",
        "time": "now",
        "message": "said",
        "serviceContext": {"service": "stock"},
    }
    assert add_trace(None, "", {}) == {}
