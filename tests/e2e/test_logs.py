"""Logs of a running suite: one format, few lines per order, colours only at a terminal."""

import json
from collections import Counter

import pytest

from contract.topology import TOPOLOGY
from sagakit.telemetry.cloud_logging import TRACE
from tests.support.eventually import wait_until
from tests.support.local_suite import SAGACTL, TIMEOUT_SECONDS, environment, ready_suite
from tests.support.pseudoterminal import at_a_terminal

ORDERS = 10
NO_REMINDERS = {"LOG_FORMAT": "json", "REMINDER_INTERVAL_SECONDS": "600"}
TRACED = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}
"""No collector listens there, so the exporter logs errors."""
APPLIED = 8
"""Events applied by all services for an order that is paid and delivered."""


def lines(local):
    """Return (process, line) of all logs. Raises ValueError if a line is not JSON."""
    logs = {name: (local.run_dir / f"logs/{name}.log").read_text() for name in (*TOPOLOGY.topics, "gateway")}
    return [(name, json.loads(line)) for name, log in logs.items() for line in log.splitlines()]


def test_every_line_is_json_and_each_applied_event_is_one_line(tmp_path):
    with ready_suite(tmp_path, environ={**NO_REMINDERS, **TRACED}) as local:
        healthy = [local.order(blue=1) for _ in range(ORDERS)]
        failing = [local.order(yellow=1), local.order(gold=1)]
        assert local.sagactl("audit", "--wait", "60").returncode == 0
        local.sagactl("restart", "stock")
        local.end()

        logged = lines(local)

    applied = [line for _, line in logged if line["message"] == "event applied"]
    assert all({"orderid", "eventid", "status", "attempt"} <= line.keys() for line in applied)
    assert {name for name, line in logged if line["serviceContext"]["service"] == name} == {
        *TOPOLOGY.topics,
        "gateway",
    }
    assert {line["severity"] for _, line in logged if "logger" not in line} <= {"INFO", "WARNING"}
    assert any(line["logger"].startswith("opentelemetry") for _, line in logged if "logger" in line)
    traces = {orderid: {line[TRACE] for line in applied if line["orderid"] == orderid} for orderid in healthy}
    assert all(len(named) == 1 for named in traces.values()), "all services log the same trace"
    assert len(set.union(*traces.values())) == ORDERS
    by_order = Counter(line["orderid"] for line in applied)
    # Purchase ignores a `reserved` that arrives after `paid`.
    assert all(APPLIED - 1 <= by_order[orderid] <= APPLIED for orderid in healthy)
    assert all(0 < by_order[orderid] <= APPLIED for orderid in failing)
    without_order = Counter(name for name, line in logged if not {"orderid", "logger"} & line.keys())
    assert max(without_order.values()) <= 10, "a few lines per process, independent of the number of orders"


@pytest.mark.parametrize(
    ("environ", "colours"), [({"TERM": "xterm", "NO_COLOR": ""}, True), ({"NO_COLOR": "1"}, False)]
)
def test_colours_are_used_at_a_terminal_unless_disabled(tmp_path, environ, colours):
    command, environ = (*SAGACTL, "up", "--backend", "embedded", "--port", "0"), environment(environ)
    with at_a_terminal(command, tmp_path, environ) as suite:
        wait_until(lambda: "\nready: " in suite.shown)
        with at_a_terminal((*SAGACTL, "logs", "stock"), tmp_path, environ) as logs:
            assert logs.process.wait(TIMEOUT_SECONDS) == 0
        suite.type(b"\x03")
        assert suite.process.wait(TIMEOUT_SECONDS) == 0

    assert ("\x1b[33m\x1b[1mstock" in suite.shown) == colours
    assert ("\x1b[36m\x1b[1mpurchase" in suite.shown) == colours
    assert "stock    | " in suite.shown
    assert "serving" in logs.shown
    assert ("\x1b[" in suite.shown, "\x1b[" in logs.shown) == (colours, colours)
    assert "\x1b" not in (tmp_path / ".run/logs/stock.log").read_text()
