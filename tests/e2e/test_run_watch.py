"""`sagactl watch` at a terminal, over a suite of real processes."""

import json
import os
import re
import signal
import sqlite3

import pytest

from contract.topology import EPHEMERAL_PREFIX
from tests.support.local_suite import SAGACTL, embedded, environment, sagactl, until
from tests.support.pseudoterminal import at_a_terminal

ALTERNATE, NORMAL = "\x1b[?1049h", "\x1b[?1049l"
HIDDEN, VISIBLE = "\x1b[?25l", "\x1b[?25h"
QUITS = {"q": b"q", "Ctrl-C": b"\x03"}


def order(local, itemid):
    cart = {"cartid": f"{itemid}-{os.urandom(4).hex()}"}
    local.call("create_cart", **cart)
    local.call("add_item", **cart, itemid=itemid, count=1)
    local.call("close_cart", **cart)
    return local.call("checkout", **cart)["order_ticket"]["orderid"]


def broadcasts(local):
    """The subscriptions that processes have of their own."""
    with sqlite3.connect(local.run_dir / "embedded.sqlite3") as database:
        names = [name for (name,) in database.execute("SELECT name FROM subscription")]
    return {name for name in names if name.startswith(EPHEMERAL_PREFIX)}


def pictures(terminal):
    """What was on the screen, one picture after the other, without colours."""
    return [re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", each) for each in terminal.shown.split("\x1b[H")]


def watching(local, *arguments):
    command = [*SAGACTL, "watch", "--run-dir", str(local.run_dir), *arguments]
    return at_a_terminal(command, local.run_dir.parent, environment({"TERM": "xterm", "NO_COLOR": ""}))


@pytest.mark.parametrize("key", QUITS)
def test_orders_are_shown_as_they_go_and_a_key_ends_it_leaving_nothing_behind(tmp_path, key):
    with embedded(tmp_path) as local:
        others = broadcasts(local)
        with watching(local) as terminal:
            until(lambda: "listening" in terminal.shown)
            assert broadcasts(local) > others
            assert not terminal.as_before, "keys come one by one"

            paid = [order(local, "blue") for _ in range(3)]
            sold_out = order(local, "yellow")
            local.sagactl("stop", "payment")
            until(lambda: "payment stopped" in pictures(terminal)[-1])
            waits = order(local, "blue")
            until(lambda: any(shows(waits, "reserved", picture) for picture in pictures(terminal)))

            seen = pictures(terminal)
            terminal.type(QUITS[key])
            assert terminal.process.wait(15) == 0
            assert terminal.as_before

        assert broadcasts(local) == others
    assert all(any(shows(each, "delivery-arranged", picture) for picture in seen) for each in paid)
    assert any(shows(sold_out, "reserve-failed", picture) for picture in seen)
    assert any(re.search(r"reserve-failed sold-out +0\.\d", picture) for picture in seen)
    assert any(re.search(r"approved +\d\.\d +\d\.\d", picture) for picture in seen)
    assert any(re.search(r"to the end, p50 +\d\.\d\d s", picture) for picture in seen)
    left = terminal.shown
    assert (left.count(ALTERNATE), left.count(NORMAL)) == (1, 1)
    assert left.rindex(VISIBLE) > left.rindex(HIDDEN)
    assert max(len(line) for picture in seen for line in picture.split("\r\n")) <= 80


def shows(orderid, status, picture):
    return re.search(rf"{orderid[:8]} +{status}", picture)


def test_a_terminal_that_goes_away_leaves_no_subscription(tmp_path):
    with embedded(tmp_path) as local:
        others = broadcasts(local)
        with watching(local) as terminal:
            until(lambda: "listening" in terminal.shown)

            terminal.process.send_signal(signal.SIGHUP)

            assert terminal.process.wait(15) == 0
        assert broadcasts(local) == others


def test_without_a_terminal_it_is_printed_once_as_text_or_json(tmp_path):
    with embedded(tmp_path) as local:
        local.sagactl("provider", "--away")
        orderid = order(local, "blue")
        until(lambda: "reserved" in local.sagactl("stuck").stdout)

        text = local.sagactl("watch", "--listen", "0")
        facts = json.loads(local.sagactl("watch", "--json", "--listen", "0").stdout)
        others = len(broadcasts(local))

        assert text.returncode == 0, text.stderr
        assert "\x1b" not in text.stdout
        assert re.search(r"reserved +1 +\d+ s", text.stdout)
        assert "● payment" in text.stdout
        assert facts["backlog"]["tickets"]["reserved"]["count"] == 1
        assert facts["letters"] == {"count": 0, "oldest_seconds": None, "more": False}
        assert [each["state"] for each in facts["programs"]] == ["running"] * 5
        assert facts["listening"] is True
        assert others == 4, "the gateway's"
        assert orderid


def test_a_suite_that_does_not_run_is_said_so(tmp_path):
    nowhere = sagactl("watch", "--once", "--run-dir", str(tmp_path / "none"))

    assert nowhere.returncode == 1
    assert "no suite runs in" in nowhere.stderr
