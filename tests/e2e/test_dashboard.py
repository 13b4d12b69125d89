"""`sagactl top` at a terminal, on a running suite."""

import json
import re
import signal
import sqlite3
from contextlib import closing

import pytest
from google.cloud import pubsub_v1

from sagakit.fanout import EPHEMERAL_PREFIX
from tests.support.eventually import wait_until
from tests.support.local_suite import SAGACTL, environment, ready_suite
from tests.support.pseudoterminal import at_a_terminal

ALTERNATE, NORMAL = "\x1b[?1049h", "\x1b[?1049l"
HIDDEN, VISIBLE = "\x1b[?25l", "\x1b[?25h"
QUITS = {"q": b"q", "Ctrl-C": b"\x03"}


def ephemeral_subscriptions(local):
    """Return the names of the subscriptions that belong to single processes."""
    with closing(sqlite3.connect(local.run_dir / "embedded.sqlite3")) as database:
        names = [name for (name,) in database.execute("SELECT name FROM subscription")]
    return {name for name in names if name.startswith(EPHEMERAL_PREFIX)}


def screens(terminal):
    """Return the successive contents of the screen, without colours."""
    return [re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", each) for each in terminal.shown.split("\x1b[H")]


def dashboard(local):
    command = [*SAGACTL, "top", "--run-dir", str(local.run_dir)]
    return at_a_terminal(command, local.run_dir.parent, environment({"TERM": "xterm", "NO_COLOR": ""}))


@pytest.mark.parametrize("key", QUITS)
def test_orders_are_shown_live_and_a_key_quits_without_traces(tmp_path, key):
    with ready_suite(tmp_path) as local:
        before = ephemeral_subscriptions(local)
        with dashboard(local) as terminal:
            wait_until(lambda: "listening" in terminal.shown)
            own = ephemeral_subscriptions(local) - before
            assert own
            assert not terminal.as_before, "keys are read one by one"

            paid = [local.order(blue=1) for _ in range(3)]
            sold_out = local.order(yellow=1)
            local.sagactl("stop", "payment")
            wait_until(lambda: "payment stopped" in screens(terminal)[-1])
            waits = local.order(blue=1)
            wait_until(lambda: any(shows(waits, "reserved", screen) for screen in screens(terminal)))

            seen = screens(terminal)
            assert "q quits" in seen[-1]
            terminal.type(QUITS[key])
            assert terminal.process.wait(15) == 0
            assert terminal.as_before

        assert not own & ephemeral_subscriptions(local)
    assert all(any(shows(each, "delivery-arranged", screen) for screen in seen) for each in paid)
    assert any(shows(sold_out, "reserve-failed", screen) for screen in seen)
    assert any(re.search(r"reserve-failed sold-out +0\.\d", screen) for screen in seen)
    assert any(re.search(r"approved +\d\.\d +\d\.\d", screen) for screen in seen)
    assert any(re.search(r"checkout to final, p50 +\d\.\d\d s", screen) for screen in seen)
    left = terminal.shown
    assert (left.count(ALTERNATE), left.count(NORMAL)) == (1, 1)
    assert left.rindex(VISIBLE) > left.rindex(HIDDEN)
    assert max(len(line) for screen in seen[1:] for line in screen.split("\r\n")) <= 80


def shows(orderid, status, screen):
    return re.search(rf"{orderid[:8]} +{status}", screen)


def test_closed_terminal_leaves_no_subscription(tmp_path):
    with ready_suite(tmp_path) as local:
        before = ephemeral_subscriptions(local)
        with dashboard(local) as terminal:
            wait_until(lambda: "listening" in terminal.shown)

            terminal.process.send_signal(signal.SIGHUP)

            assert terminal.process.wait(15) == 0
        assert ephemeral_subscriptions(local) == before


def test_without_a_terminal_one_snapshot_is_printed_as_text_or_json(tmp_path):
    with ready_suite(tmp_path) as local:
        local.sagactl("faults", "set", "--provider-unavailable")
        local.order(blue=1)
        wait_until(lambda: "reserved" in local.sagactl("pending").stdout)

        text = local.sagactl("top", "--sample-seconds", "0")
        facts = json.loads(local.sagactl("top", "--json", "--sample-seconds", "0").stdout)
        count = len(ephemeral_subscriptions(local))

        assert text.returncode == 0, text.stderr
        assert "\x1b" not in text.stdout
        assert "quits" not in text.stdout, "no key does anything any more"
        assert re.search(r"reserved +1 +\d+s", text.stdout)
        assert "● payment" in text.stdout
        assert facts["backlog"]["tickets"]["reserved"]["count"] == 1
        assert facts["dead_letters"] == {"count": 0, "oldest_seconds": None, "more": False}
        assert [each["state"] for each in facts["programs"]] == ["running"] * 5
        assert facts["listening"] is True
        assert count == 0, "no order is being followed"


@pytest.mark.emulators
def test_dashboard_on_emulators_leaves_no_subscription(
    tmp_path, firestore_emulator, pubsub_emulator, project, monkeypatch
):
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", pubsub_emulator)
    environ = {
        "BACKEND": "emulators",
        "DATASTORE_EMULATOR_HOST": firestore_emulator,
        "PUBSUB_EMULATOR_HOST": pubsub_emulator,
        "GOOGLE_CLOUD_PROJECT": project,
    }
    with ready_suite(tmp_path, environ=environ) as local:
        before = ephemeral_subscriptions_at_pubsub(project)
        with dashboard(local) as terminal:
            wait_until(lambda: "listening" in terminal.shown)
            own = ephemeral_subscriptions_at_pubsub(project) - before
            assert len(own) == 5

            assert local.sagactl("demo").returncode == 0

            wait_until(lambda: "delivery-arranged" in terminal.shown)
            wait_until(lambda: "reserve-failed sold-out" in terminal.shown)
            wait_until(lambda: re.search(r"outbox of .*delivery.* +\d", terminal.shown))
            wait_until(lambda: re.search(r"dead letters +\d", terminal.shown))
            terminal.type(b"q")
            assert terminal.process.wait(20) == 0
            assert terminal.as_before

        assert not own & ephemeral_subscriptions_at_pubsub(project)


def ephemeral_subscriptions_at_pubsub(project):
    with pubsub_v1.SubscriberClient() as subscriber:
        paths = [each.name for each in subscriber.list_subscriptions(project=f"projects/{project}")]
    names = {path.rpartition("/")[2] for path in paths}
    return {name for name in names if name.startswith(EPHEMERAL_PREFIX)}
