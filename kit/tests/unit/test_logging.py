"""Logs: every line of a process has the configured format, and names its trace."""

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

EVERY_SOURCE = """
structlog.contextvars.bind_contextvars(orderid="o-1")
log.info("event applied", attempt=1, odd=object(), half="\\ud800", lines="a\\nb")
log.warning("pulling paused", message="a field named like a special one", severity=3)
log.info("not for libraries", level_of_detail=float("inf"))
try:
    1 / 0
except ZeroDivisionError:
    log.exception("event failed")
    logging.getLogger("a.library").exception("went\\nwrong: %s", "here")
logging.getLogger("a.library").warning("beware")
logging.getLogger("a.library").info("chatter")
warnings.warn("old")

async def main():
    async def fails():
        raise ValueError("never retrieved")
    asyncio.create_task(fails())
    await asyncio.sleep(0)
    await asyncio.sleep(0)

asyncio.run(main())
thread = threading.Thread(target=lambda: 1 / 0)
thread.start()
thread.join()

class Finalized:
    def __del__(self):
        raise ValueError("in a finalizer")

Finalized()
raise SystemError("at last")
"""


def run(code, format="json", level="info"):
    script = CONFIGURED.format(format=format, level=level) + code
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)


def lines_of(code, **settings):
    return [json.loads(line) for line in run(code, **settings).stdout.splitlines()]


def strict(line):
    def reject(constant):
        raise ValueError(constant)

    return json.loads(line, parse_constant=reject)


@pytest.fixture
def span():
    tracer = TracerProvider().get_tracer("test")
    with tracer.start_as_current_span("event") as span:
        yield span.get_span_context()


def test_every_source_logs_one_json_object_per_line():
    process = run(EVERY_SOURCE)

    lines = [strict(line) for line in process.stdout.splitlines()]

    assert process.stderr == ""
    assert process.returncode == 1
    assert [(line["severity"], line["message"]) for line in lines] == [
        ("INFO", "event applied"),
        ("WARNING", "pulling paused"),
        ("INFO", "not for libraries"),
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


def test_traceback_is_a_field_and_reported_as_an_error():
    lines = lines_of(EVERY_SOURCE)
    with_traceback = [line for line in lines if "stack_trace" in line]

    assert [line["@type"] for line in with_traceback] == [REPORTED_ERROR] * 6
    assert all(line["stack_trace"].startswith("Traceback (most") for line in with_traceback)
    assert with_traceback[0]["stack_trace"].endswith("ZeroDivisionError: division by zero")
    assert all("@type" not in line for line in lines if "stack_trace" not in line)


def test_level_filters_lines():
    code = """
for level in ("debug", "info", "warning", "error"):
    getattr(log, level)(level)
    getattr(logging.getLogger("a.library"), level)("library " + level)
"""

    def messages(level):
        return [line["message"] for line in lines_of(code, level=level)]

    everything = ["debug", "info", "warning", "library warning", "error", "library error"]
    assert messages("debug") == everything
    assert messages("info") == everything[1:]
    assert messages("warning") == everything[2:]
    assert messages("error") == everything[4:]


def test_console_lines_begin_with_the_first_fields():
    code = """
structlog.contextvars.bind_contextvars(eventid="e-1", subscription="s", orderid="o-1", status="paid")
log.info("event applied", attempt=2)
logging.getLogger("a.library").warning("beware")
"""
    ours, theirs = run(code, format="console").stdout.splitlines()

    fields = "orderid=o-1 status=paid eventid=e-1 attempt=2 subscription=s"
    assert " ".join(ours[27:].split()) == f"[info ] event applied {fields}"
    assert ours[:4].isdecimal()
    assert "[warning  ] beware" in theirs
    assert "a.library" in theirs


@pytest.mark.parametrize("format", ["console", "json"])
def test_value_from_outside_is_no_line_and_no_control_sequence(format):
    code = r"""
class Message:
    def __repr__(self):
        return self.text
    text = "a\x1b[2J\x9b1m\u202eb\ud800\r\n2026-01-02T03:04:05.678901Z [info     ] forged\u2028"
text = Message.text
log.info("event " + text, eventid=text, message=Message(), **{"a field": [text]})
logging.getLogger("a.library").warning("cannot read %s", text)
try:
    raise ValueError(text)
except ValueError:
    log.exception("event failed", stack_info=True)
    logging.getLogger("a.library").exception("event failed")
"""
    process = run(code, format=format)

    lines = process.stdout.split("\n")
    assert process.stderr == ""
    assert all(line.isprintable() for line in lines)
    assert "\\x1b[2J" in process.stdout or "\\u001b[2J" in process.stdout
    unindented = [line for line in lines if line and not line.startswith("  ")]
    assert len(unindented) == 4, "one for each record"


@pytest.mark.parametrize("format", ["console", "json"])
def test_traceback_shows_no_local_variables(format):
    code = """
def verify(token):
    raise ValueError("invalid")
try:
    verify("the-secret-" + "token")
except ValueError:
    log.exception("request failed")
    logging.getLogger("a.library").exception("failed")
verify("the-secret-" + "token")
"""
    output = run(code, format=format).stdout

    assert output.count("ValueError: invalid") == 3
    assert "the-secret-token" not in output


def entry(project="a-project"):
    return to_entry("stock", project)(None, "", {"event": "logged", "level": "info", "time": "now"})


def test_line_names_its_trace(span):
    line = entry()

    assert line[TRACE] == f"projects/a-project/traces/{span.trace_id:032x}"
    assert line[SPAN] == f"{span.span_id:016x}"
    assert line[SAMPLED] is True
    assert entry(project="")[TRACE] == f"{span.trace_id:032x}"
    assert add_trace(None, "", {}) == {"trace": f"{span.trace_id:032x}"}


def test_line_outside_of_a_trace_names_none():
    assert entry() == {
        "severity": "INFO",
        "time": "now",
        "message": "logged",
        "serviceContext": {"service": "stock"},
    }
    assert add_trace(None, "", {}) == {}


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_standard_streams_are_opened_on_dev_null(closed, tmp_path):
    script = (
        CONFIGURED.format(format="console", level="info")
        + f"""
import os, sys
log.info("hello")
print("hello", file=sys.stderr)
assert os.open({str(tmp_path / "file")!r}, os.O_CREAT) > 2
"""
    )
    shell = ("sh", "-c", f'exec "$@" {closed}', "sh")

    done = subprocess.run([*shell, sys.executable, "-c", script], check=False)

    assert done.returncode == 0
