"""`sagactl up` with nothing but Python: real processes, the embedded backend."""

import json
import os
import signal
import subprocess
import sys
import threading

import httpx
import pytest

from tests.support.local_suite import SAGACTL, WAIT_SECONDS, alive, embedded, environment, suite, until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")


def test_the_lines_it_prints_walk_a_cart_to_an_approved_order(tmp_path):
    with embedded(tmp_path) as local:
        local.until_said("Stop: Ctrl-C")
        walk = "\n".join(line for line in local.output.splitlines() if line.startswith("  "))

        shell = {"env": environment({"no_proxy": "127.0.0.1"}), "capture_output": True, "text": True}
        shown = subprocess.run(["bash"], input=walk, timeout=WAIT_SECONDS, check=True, **shell)

    answers = [json.loads(line) for line in shown.stdout.splitlines() if line]
    assert answers[0]["cart"]["status"] == "open"
    assert answers[-2]["order_ticket"]["status"] == "pre-approved"
    assert answers[-1]["order_ticket"]["status"] == "approved"
    assert shown.stderr == ""


def test_each_start_prints_a_cart_of_its_own(tmp_path):
    carts = set()
    for _ in range(2):
        with embedded(tmp_path) as local:
            local.until_said("Stop: Ctrl-C")
            carts |= {word for word in local.output.split('"') if word.startswith("cart-")}

    assert len(carts) == 2


def test_the_demo_goes_through(tmp_path):
    with embedded(tmp_path) as local:
        shown = local.sagactl("demo")

    assert shown.returncode == 0, shown.stderr
    assert all(f'"{status}"' in shown.stdout for status in ("approved", "reserve-failed", "payment-failed"))
    assert shown.stdout.endswith("Everything went as it is to go.\n")


def test_sigterm_ends_everything_and_is_no_failure(tmp_path):
    with embedded(tmp_path) as local:
        processes = local.pids()
        assert len(processes) == 5

        assert local.end(signal.SIGTERM) == 0

        assert not any(map(alive, processes))
        assert not (local.run_dir / "suite.json").exists()


def test_ctrl_c_while_it_starts_ends_everything_too(tmp_path):
    with suite(tmp_path, "--backend", "embedded") as local:
        local.until_said("backend: embedded")

        assert local.end(signal.SIGINT) == 0


def test_nothing_outlives_a_supervisor_that_is_killed(tmp_path):
    with embedded(tmp_path) as local:
        processes = local.pids()

        local.process.kill()

        until(lambda: not any(map(alive, processes)))


def test_a_supervisor_that_was_killed_is_followed_by_another(tmp_path):
    with embedded(tmp_path) as local:
        local.end(signal.SIGKILL)

    with embedded(tmp_path):
        pass


def test_a_service_that_is_killed_is_started_again(tmp_path):
    with embedded(tmp_path) as local:
        (stock,) = local.pids("services.stock")

        os.kill(stock, signal.SIGKILL)
        local.until_said("stock ended (killed by SIGKILL); it is started again in")
        until(lambda: local.pids("services.stock") not in ([], [stock]))

        assert local.sagactl("demo").returncode == 0


def test_replicas_share_the_work(tmp_path):
    with embedded(tmp_path, "--replicas", "2") as local:
        assert {name: len(where) for name, where in local.facts["addresses"].items()} == {
            "purchase": 2,
            "stock": 2,
            "payment": 2,
            "delivery": 2,
        }
        assert len(local.pids()) == 9
        assert local.sagactl("demo").returncode == 0


def test_a_reader_who_stops_reading_does_not_stop_the_suite(tmp_path):
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

        # What is logged of these orders is far more than the pipe holds.
        with httpx.Client(base_url=f"{gateway}/purchase/api", trust_env=False, timeout=60) as client:
            for number in range(50):
                cart = {"cartid": f"unread-{number}"}
                for method, body in [
                    ("create_cart", cart),
                    ("add_item", {**cart, "itemid": "red", "count": 1}),
                    ("close_cart", cart),
                    ("checkout", cart),
                ]:
                    assert client.post(f"/{method}", json=body).status_code == 200
        up.terminate()

        assert up.wait(15) == 0


def test_the_stock_of_an_item_is_changed_and_the_rest_of_it_stays(tmp_path):
    with embedded(tmp_path) as local:
        restocked = local.sagactl("stock", "set", "yellow", "--stock", "5")
        waived = local.sagactl("stock", "set", "yellow", "--waives-payment")
        new = local.sagactl("stock", "set", "green", "--price", "7")
        split = local.sagactl("stock", "set", "green", "--shards", "3")
        fewer = local.sagactl("stock", "set", "green", "--shards", "2")

    assert restocked.stdout == "yellow: price 100, 5 pieces (5 available, 0 reserved, 0 sold)\n"
    assert waived.stdout == (
        "yellow: price 100, 5 pieces (5 available, 0 reserved, 0 sold), waives payment\n"
    )
    assert new.stdout == "green: price 7, 0 pieces (0 available, 0 reserved, 0 sold)\n"
    assert split.stdout == "green: price 7, 0 pieces (0 available, 0 reserved, 0 sold), in 3 shards\n"
    assert fewer.returncode == 1
    assert "green is split into 3 shards already" in fewer.stderr


def test_what_was_changed_is_not_seeded_over(tmp_path):
    with embedded(tmp_path) as local:
        local.sagactl("stock", "set", "yellow", "--stock", "5")

        seeded = local.sagactl("seed")

    assert seeded.stdout.splitlines() == [
        "blue: price 100, 100000 pieces (100000 available, 0 reserved, 0 sold), in 8 shards",
        "red: price 50, 100000 pieces (100000 available, 0 reserved, 0 sold), in 8 shards, waives payment",
        "yellow: price 100, 5 pieces (5 available, 0 reserved, 0 sold)",
        "gold: price 1000000, 10 pieces (10 available, 0 reserved, 0 sold)",
    ]


def test_orders_can_be_looked_into_and_everything_balances(tmp_path):
    with embedded(tmp_path) as local:
        cart = {"cartid": "1234567"}
        local.call("create_cart", **cart)
        local.call("add_item", **cart, itemid="blue", count=3)
        local.call("close_cart", **cart)
        local.sagactl("provider", "--away")
        orderid = local.call("checkout", **cart)["order_ticket"]["orderid"]
        until(lambda: "reserved" in local.sagactl("stuck").stdout)

        waiting = local.sagactl("stuck").stdout
        while_open = local.sagactl("order", orderid).stdout
        unbalanced = local.sagactl("audit")
        told = local.sagactl("provider", "--here", "--delay", "0.1").stdout
        balanced = local.sagactl("audit", "--wait", "30")
        ended = local.sagactl("order", orderid).stdout

        assert orderid in waiting
        assert (
            "still open: the ticket is reserved; what is reserved is neither sold nor released" in while_open
        )
        assert unbalanced.returncode == 1
        assert f"order {orderid}: its ticket is still reserved" in unbalanced.stdout
        assert told == "away: False\ndelay seconds: 0.1\nloses answers: False\n"
        assert balanced.returncode == 0, balanced.stdout
        assert "everything balances" in balanced.stdout
        assert "charged 300 - refunded 0 = 300; approved for payment: 300" in balanced.stdout
        services = [line.split()[1] for line in ended.splitlines() if line.startswith("  20")]
        assert services.count("purchase") == 4
        assert set(services) == {"purchase", "stock", "payment", "delivery"}
        assert "still open: nothing" in ended
        assert local.sagactl("stuck").stdout == "nothing waits\n"


def test_an_order_that_is_not_there_and_a_suite_that_does_not_run_are_said_so(tmp_path):
    with embedded(tmp_path) as local:
        unknown = local.sagactl("order", "nonsense")
    nowhere = local.sagactl("audit")

    assert (unknown.returncode, unknown.stderr) == (1, "Error: there is no order nonsense\n")
    assert nowhere.returncode == 1
    assert "no suite runs in" in nowhere.stderr


def test_a_service_can_be_stopped_and_started_from_another_terminal_and_orders_wait_for_it(tmp_path):
    with embedded(tmp_path) as local:
        stopped = local.sagactl("stop", "payment")
        listed = local.sagactl("ps").stdout
        cart = {"cartid": "1"}
        local.call("create_cart", **cart)
        local.call("add_item", **cart, itemid="blue", count=1)
        local.call("close_cart", **cart)
        orderid = local.call("checkout", **cart)["order_ticket"]["orderid"]
        until(lambda: "reserved" in local.sagactl("stuck").stdout)
        assert local.pids("services.payment") == []

        started = local.sagactl("start", "payment")
        balanced = local.sagactl("audit", "--wait", "30")

        assert (stopped.returncode, started.returncode) == (0, 0), started.stderr
        assert [line.split()[:2] for line in listed.splitlines()] == [
            ["purchase", "running"],
            ["stock", "running"],
            ["payment", "stopped"],
            ["delivery", "running"],
            ["gateway", "running"],
        ]
        assert balanced.returncode == 0, balanced.stdout
        assert local.call("get_order_ticket", orderid=orderid)["order_ticket"]["status"] == "approved"
        assert "serving" in local.sagactl("logs", "payment").stdout
        assert "payment ended" not in local.output


def test_a_rolling_restart_of_every_service_under_load_fails_no_request(tmp_path):
    with embedded(tmp_path, "--replicas", "2") as local:
        gateway = local.facts["gateway"]
        answers, failures, stopping = [], [], threading.Event()

        def order(client: int) -> None:
            with httpx.Client(base_url=f"{gateway}/purchase/api", trust_env=False, timeout=30) as http:
                number = 0
                while not stopping.is_set():
                    number += 1
                    cart = {"cartid": f"{client}-{number}"}
                    for method, body in [
                        ("create_cart", cart),
                        ("add_item", {**cart, "itemid": "blue", "count": 1}),
                        ("close_cart", cart),
                        ("checkout", cart),
                    ]:
                        answer = http.post(f"/{method}", json=body)
                        answers.append(answer)
                        failures.extend([answer.text] if answer.status_code != 200 else [])

        clients = [threading.Thread(target=order, args=[number]) for number in range(4)]
        for client in clients:
            client.start()
        restarted = [local.sagactl("restart", name) for name in ("purchase", "stock", "payment", "delivery")]
        stopping.set()
        for client in clients:
            client.join()

        assert [each.returncode for each in restarted] == [0] * 4, [each.stderr for each in restarted]
        assert failures == []
        assert len(answers) > 100
        assert local.sagactl("audit", "--wait", "60").returncode == 0
        logs = "".join(path.read_text() for path in (local.run_dir / "logs").glob("*.log"))
        assert "attempt=2" not in logs, "what was in hand was dealt with before the end"
        assert local.output.count(" was stopped (exit status 0)") == 8, "drained, within the grace"


def test_what_is_not_there_can_be_neither_stopped_nor_looked_at(tmp_path):
    with embedded(tmp_path) as local:
        unknown = local.sagactl("stop", "nonsense")
        no_log = local.sagactl("logs", "nonsense")
    gone = local.sagactl("ps")

    assert "there is no nonsense; there are: purchase, stock, payment, delivery, gateway" in unknown.stderr
    assert "there is no log of nonsense; there are:" in no_log.stderr
    assert "no suite runs in" in gone.stderr
    assert {each.returncode for each in (unknown, no_log, gone)} == {1}
