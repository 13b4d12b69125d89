"""What a suite of real processes logs: all of one format, little of it, in colours at a terminal."""

import json
import os
import pty
import subprocess
from collections import Counter

import pytest

from contract.topology import TOPICS
from tests.support.local_suite import SAGACTL, embedded, environment, until

ORDERS = 10
PATIENT = {"LOG_FORMAT": "json", "REPEAT_AFTER": "600"}
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
    with embedded(tmp_path, environ=PATIENT) as local:
        healthy = [order(local, "blue") for _ in range(ORDERS)]
        failing = [order(local, "yellow"), order(local, "gold")]
        assert local.sagactl("audit", "--wait", "60").returncode == 0
        local.sagactl("restart", "stock")
        local.end()

        said = lines(local)

    applied = [line for _, line in said if line["message"] == "event applied"]
    assert all({"orderid", "eventid", "status", "attempt"} <= line.keys() for line in applied)
    assert {name for name, line in said if line["serviceContext"]["service"] == name} == {*TOPICS, "gateway"}
    assert {line["severity"] for _, line in said} <= {"INFO", "WARNING"}
    by_order = Counter(line["orderid"] for line in applied)
    assert [by_order[orderid] for orderid in healthy] == [HEARD] * ORDERS
    assert all(0 < by_order[orderid] <= HEARD for orderid in failing)
    of_no_order = Counter(name for name, line in said if "orderid" not in line)
    assert max(of_no_order.values()) <= 10, "the rest is a few lines a process, however many the orders"


@pytest.mark.parametrize(
    ("environ", "coloured"), [({"TERM": "xterm", "NO_COLOR": ""}, True), ({"NO_COLOR": "1"}, False)]
)
def test_at_a_terminal_each_service_has_its_colour_unless_unwanted(tmp_path, environ, coloured):
    master, slave = pty.openpty()
    shown = b""
    command = [*SAGACTL, "up", "--backend", "embedded", "--port", "0"]
    told = environment(environ)
    with subprocess.Popen(command, cwd=tmp_path, env=told, stdin=slave, stdout=slave, stderr=slave) as up:
        os.close(slave)
        while b"\nready: " not in shown:
            shown += os.read(master, 65_536)
        logs = shown_at_a_terminal([*SAGACTL, "logs", "stock"], tmp_path, told)
        up.terminate()
        # As a terminal does it: read on until nobody is left who writes.
        until(lambda: drained(master))
        assert up.wait(15) == 0
    os.close(master)

    assert (b"\x1b[33m\x1b[1mstock" in shown) == coloured
    assert (b"\x1b[36m\x1b[1mpurchase" in shown) == coloured
    assert b"stock    | " in shown
    assert b"serving" in logs
    assert (b"\x1b[" in shown, b"\x1b[" in logs) == (coloured, coloured)
    assert "\x1b" not in (tmp_path / ".run/logs/stock.log").read_text()


def shown_at_a_terminal(command, directory, environ):
    master, slave = pty.openpty()
    with subprocess.Popen(
        command, cwd=directory, env=environ, stdin=slave, stdout=slave, stderr=slave
    ) as process:
        os.close(slave)
        shown = b""
        while data := read(master):
            shown += data
        assert process.wait(15) == 0
    os.close(master)
    return shown


def drained(master):
    return not read(master)


def read(master):
    """Nothing once there is nobody left who writes."""
    try:
        return os.read(master, 65_536)
    except OSError:
        return b""
