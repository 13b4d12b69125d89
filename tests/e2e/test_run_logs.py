"""What a suite of real processes logs: all of one format, little of it, in colours at a terminal."""

import json
import os
from collections import Counter

import pytest

from contract.topology import TOPICS
from sagakit.telemetry.cloud_logging import TRACE
from tests.support.local_suite import SAGACTL, WAIT_SECONDS, embedded, environment, until
from tests.support.pseudoterminal import at_a_terminal

ORDERS = 10
PATIENT = {"LOG_FORMAT": "json", "REMINDER_INTERVAL_SECONDS": "600"}
TRACED = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}
"""To where nobody takes the spans: so the exporter complains."""
HEARD = 8
"""Events that somebody does something about in the course of an order that is paid and delivered."""


def order(local, itemid):
    cart = {"cartid": f"{itemid}-{os.urandom(4).hex()}"}
    local.call("create_cart", **cart)
    local.call("add_item", **cart, itemid=itemid, count=1)
    local.call("close_cart", **cart)
    return local.call("checkout", **cart)["order_ticket"]["orderid"]


def lines(local):
    """Of all services and the gateway, by who wrote it; ValueError where a line is no JSON."""
    logs = {name: (local.run_dir / f"logs/{name}.log").read_text() for name in (*TOPICS, "gateway")}
    return [(name, json.loads(line)) for name, log in logs.items() for line in log.splitlines()]


def test_every_line_of_every_process_is_a_json_object_and_an_order_leaves_a_line_an_event(tmp_path):
    with embedded(tmp_path, environ={**PATIENT, **TRACED}) as local:
        healthy = [order(local, "blue") for _ in range(ORDERS)]
        failing = [order(local, "yellow"), order(local, "gold")]
        assert local.sagactl("audit", "--wait", "60").returncode == 0
        local.sagactl("restart", "stock")
        local.end()

        said = lines(local)

    applied = [line for _, line in said if line["message"] == "event applied"]
    assert all({"orderid", "eventid", "status", "attempt"} <= line.keys() for line in applied)
    assert {name for name, line in said if line["serviceContext"]["service"] == name} == {*TOPICS, "gateway"}
    assert {line["severity"] for _, line in said if "logger" not in line} <= {"INFO", "WARNING"}
    assert any(line["logger"].startswith("opentelemetry") for _, line in said if "logger" in line)
    traces = {orderid: {line[TRACE] for line in applied if line["orderid"] == orderid} for orderid in healthy}
    assert all(len(named) == 1 for named in traces.values()), "one trace through all services"
    assert len(set.union(*traces.values())) == ORDERS
    by_order = Counter(line["orderid"] for line in applied)
    # Purchase ignores a `reserved` that `paid` has overtaken.
    assert all(HEARD - 1 <= by_order[orderid] <= HEARD for orderid in healthy)
    assert all(0 < by_order[orderid] <= HEARD for orderid in failing)
    of_no_order = Counter(name for name, line in said if not {"orderid", "logger"} & line.keys())
    assert max(of_no_order.values()) <= 10, "the rest is a few lines a process, however many the orders"


@pytest.mark.parametrize(
    ("environ", "coloured"), [({"TERM": "xterm", "NO_COLOR": ""}, True), ({"NO_COLOR": "1"}, False)]
)
def test_at_a_terminal_each_service_has_its_colour_unless_unwanted(tmp_path, environ, coloured):
    command, told = (*SAGACTL, "up", "--backend", "embedded", "--port", "0"), environment(environ)
    with at_a_terminal(command, tmp_path, told) as suite:
        until(lambda: "\nready: " in suite.shown)
        with at_a_terminal((*SAGACTL, "logs", "stock"), tmp_path, told) as logs:
            assert logs.process.wait(WAIT_SECONDS) == 0
        suite.type(b"\x03")
        assert suite.process.wait(WAIT_SECONDS) == 0

    assert ("\x1b[33m\x1b[1mstock" in suite.shown) == coloured
    assert ("\x1b[36m\x1b[1mpurchase" in suite.shown) == coloured
    assert "stock    | " in suite.shown
    assert "serving" in logs.shown
    assert ("\x1b[" in suite.shown, "\x1b[" in logs.shown) == (coloured, coloured)
    assert "\x1b" not in (tmp_path / ".run/logs/stock.log").read_text()
