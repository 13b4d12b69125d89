"""`sagactl up` on the embedded backend: start, stop, crashes, replicas and rolling restarts."""

import json
import os
import signal
import subprocess
import sys
import threading

import httpx
import pytest

from contract.topology import TOPOLOGY
from tests.support.eventually import wait_until
from tests.support.local_suite import SAGACTL, TIMEOUT_SECONDS, alive, environment, ready_suite, suite

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

SERVICES = TOPOLOGY.names


def test_printed_commands_end_in_an_approved_order(tmp_path):
    with ready_suite(tmp_path) as local:
        local.until_printed("Stop: Ctrl-C")
        local.until_printed("authentication disabled", times=5)
        answers = run_printed_commands(local)

    assert answers[0]["cart"]["status"] == "open"
    assert answers[-2]["order_ticket"]["status"] == "pre-approved"
    assert answers[-1]["order_ticket"]["status"] == "approved"


def run_printed_commands(local):
    """Run the commands that `sagactl up` prints, in a shell; return their answers."""
    script = "\n".join(line for line in local.output.splitlines() if line.startswith("  "))
    shell = {"env": environment({"no_proxy": "127.0.0.1"}), "capture_output": True, "text": True}
    done = subprocess.run(["bash"], input=script, timeout=TIMEOUT_SECONDS, check=True, **shell)
    assert done.stderr == ""
    return [json.loads(line) for line in done.stdout.splitlines() if line]


def test_orders_survive_a_restart_and_each_start_prints_a_new_cart(tmp_path):
    carts = set()
    with ready_suite(tmp_path) as local:
        local.until_printed("Stop: Ctrl-C")
        carts |= {word for word in local.output.split('"') if word.startswith("cart-")}
        orderid = local.order(red=1)
        local.end()

    with ready_suite(tmp_path) as local:
        wait_until(lambda: local.status(orderid) == "approved")
        local.until_printed("Stop: Ctrl-C")
        carts |= {word for word in local.output.split('"') if word.startswith("cart-")}

    assert len(carts) == 2


@pytest.mark.alone
def test_suite_is_ready_within_three_seconds_and_sigterm_ends_every_process(tmp_path):
    with suite(tmp_path, "--backend", "embedded") as local:
        # Twice the documented time, because other processes may slow the machine down.
        assert local.until_ready() < 6
        processes = local.pids()
        assert len(processes) == 5

        assert local.end(signal.SIGTERM) == 0

        assert not any(map(alive, processes))
        assert not (local.run_dir / "suite.json").exists()


def test_ctrl_c_during_start_ends_every_process(tmp_path):
    with suite(tmp_path, "--backend", "embedded") as local:
        local.until_printed("backend: embedded")

        assert local.end(signal.SIGINT) == 0


def test_killed_supervisor_leaves_no_process_and_can_be_started_again(tmp_path):
    with ready_suite(tmp_path) as local:
        processes = local.pids()

        local.process.kill()

        wait_until(lambda: not any(map(alive, processes)))
    with ready_suite(tmp_path):
        pass


def test_killed_service_is_restarted_and_loses_nothing(tmp_path):
    with ready_suite(tmp_path) as local:
        orderids = []
        for number in range(12):
            orderids.append(local.order(red=1))
            if number % 4 == 0:
                (stock,) = wait_until(lambda: local.pids("services.stock"))
                os.kill(stock, signal.SIGKILL)
                wait_until(lambda killed=stock: local.pids("services.stock") not in ([], [killed]))

        # The messages that the killed process had in flight are redelivered after a lease of 30 seconds.
        audit = local.sagactl("audit", "--wait", "60")

        local.until_printed("stock ended (killed by SIGKILL); restarting in")
        assert audit.returncode == 0, audit.stdout
        assert {local.status(orderid) for orderid in orderids} == {"approved"}
        # The gateway may not have reconnected to the restarted service yet: demo retries.
        assert local.sagactl("demo").returncode == 0


def test_replicas_share_the_work(tmp_path):
    with ready_suite(tmp_path, "--replicas", "2") as local:
        replicas = {name: len(addresses) for name, addresses in local.facts["addresses"].items()}
        processes = len(local.pids())

        for _ in range(30):
            local.order(blue=2, red=1)

        assert local.sagactl("audit", "--wait", "60").returncode == 0
        logs = [(local.run_dir / f"logs/stock-{number}.log").read_text() for number in (1, 2)]
    assert replicas == dict.fromkeys(SERVICES, 2)
    assert processes == 9
    applied = [log.count("event applied") for log in logs]
    assert min(applied) > 0, "one replica did all the work"
    assert sum(applied) == 60


def test_unread_output_does_not_block_the_suite(tmp_path):
    with subprocess.Popen(
        [*SAGACTL, "up", "--backend", "embedded", "--port", "0"],
        cwd=tmp_path,
        env=environment({}),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        pipesize=4096,
    ) as up:
        line = b""
        while not line.startswith(b"ready: "):
            line = up.stdout.readline()
        gateway = line.split()[1].decode()

        # The log lines of these orders exceed the pipe's capacity.
        with httpx.Client(base_url=gateway, trust_env=False, timeout=60) as client:
            assert [order(client, f"unread-{number}") for number in range(50)] == [[200] * 4] * 50
        up.terminate()

        assert up.wait(15) == 0


def order(client, cartid):
    """Order one red; return the status codes."""
    cart = {"cartid": cartid}
    return [
        client.post(f"/purchase/api/{method}", json=body).status_code
        for method, body in (
            ("create_cart", cart),
            ("add_item", {**cart, "itemid": "red", "count": 1}),
            ("close_cart", cart),
            ("checkout", cart),
        )
    ]


@pytest.mark.alone
def test_rolling_restart_under_load_fails_no_request(tmp_path):
    with ready_suite(tmp_path, "--replicas", "2") as local:
        statuses, stopping = [], threading.Event()

        def orders(client):
            with httpx.Client(base_url=local.facts["gateway"], trust_env=False, timeout=30) as http:
                number = 0
                while not stopping.is_set():
                    number += 1
                    statuses.extend(order(http, f"{client}-{number}"))

        clients = [threading.Thread(target=orders, args=[number]) for number in range(4)]
        for client in clients:
            client.start()
        restarted = [local.sagactl("restart", name) for name in SERVICES]
        stopping.set()
        for client in clients:
            client.join()

        assert {each.returncode for each in restarted} == {0}, [each.stderr for each in restarted]
        assert set(statuses) == {200}
        assert len(statuses) > 100
        assert local.sagactl("audit", "--wait", "60").returncode == 0
        logs = "".join(path.read_text() for path in (local.run_dir / "logs").glob("*.log"))
        assert "attempt=2" not in logs, "a stopping service settles its messages in flight"
        assert local.output.count(" was stopped (exit status 0)") == 8, "drained within the grace period"
