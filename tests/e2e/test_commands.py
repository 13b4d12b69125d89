"""`sagactl` commands against a running suite on the embedded backend."""

import signal
import subprocess

from contract.topology import TOPOLOGY
from sagactl.project import PROJECT
from tests.support.eventually import wait_until
from tests.support.local_suite import SAGACTL, environment, ready_suite, sagactl


def test_demo_passes(tmp_path):
    """The scenarios of the README, each checked by the command itself."""
    with ready_suite(tmp_path) as local:
        demo = local.sagactl("demo")

    assert demo.returncode == 0, demo.stderr
    assert all(f'"{status}"' in demo.stdout for status in ("approved", "reserve-failed", "payment-failed"))
    assert demo.stdout.endswith("All scenarios ended as expected.\n")


def test_load_that_is_stopped_finds_every_order_again(tmp_path):
    with ready_suite(tmp_path) as local:
        url = local.facts["gateway"]
        with (tmp_path / "load").open("w") as output:
            argv = [*SAGACTL, "load", "--gateway", url, "--rate", "20", "--interval", "0.5"]
            load = subprocess.Popen(argv, cwd=tmp_path, stdout=output, stderr=output, env=environment({}))
        printed = tmp_path / "load"
        wait_until(lambda: all(each in printed.read_text() for each in ("approved", "payment-failed")))
        load.send_signal(signal.SIGTERM)

        assert load.wait(60) == 0, printed.read_text()
        *_, last, result = printed.read_text().splitlines()
        audit = local.sagactl("audit", "--wait", "30")

    assert "open 0, lost 0; not accepted 0, skipped 0" in last
    assert result.startswith("nothing is lost")
    assert audit.returncode == 0, audit.stdout


def test_stock_set_changes_only_what_is_named(tmp_path):
    with ready_suite(tmp_path) as local:
        restocked = local.sagactl("stock", "set", "yellow", "--total-stock", "5")
        seeded = local.sagactl("seed")
        waived = local.sagactl("stock", "set", "yellow", "--waives-payment")
        new = local.sagactl("stock", "set", "green", "--price", "7")
        split = local.sagactl("stock", "set", "green", "--shards", "3")
        fewer = local.sagactl("stock", "set", "green", "--shards", "2")

    assert restocked.stdout == "yellow: price 100, 5 units (5 available, 0 reserved, 0 sold)\n"
    assert seeded.stdout.splitlines() == [
        "blue: price 100, 100000 units (100000 available, 0 reserved, 0 sold), in 8 shards",
        "red: price 50, 100000 units (100000 available, 0 reserved, 0 sold), in 8 shards, waives payment",
        "yellow: price 100, 5 units (5 available, 0 reserved, 0 sold)",
        "gold: price 1000000, 10 units (10 available, 0 reserved, 0 sold)",
    ]
    assert waived.stdout == ("yellow: price 100, 5 units (5 available, 0 reserved, 0 sold), waives payment\n")
    assert new.stdout == "green: price 7, 0 units (0 available, 0 reserved, 0 sold)\n"
    assert split.stdout == "green: price 7, 0 units (0 available, 0 reserved, 0 sold), in 3 shards\n"
    assert fewer.returncode == 1
    assert "green is split into 3 shards already" in fewer.stderr


def test_open_order_is_shown_and_audited_until_it_balances(tmp_path):
    with ready_suite(tmp_path) as local:
        local.sagactl("faults", "set", "--provider-unavailable")
        orderid = local.order(blue=3)
        wait_until(lambda: "reserved" in local.sagactl("pending").stdout)

        waiting = local.sagactl("pending").stdout
        while_open = local.sagactl("order", orderid).stdout
        unbalanced = local.sagactl("audit")
        local.sagactl("faults", "set", "--provider-available", "--provider-delay", "0.1")
        balanced = local.sagactl("audit", "--wait", "30")
        ended = local.sagactl("order", orderid).stdout

        assert orderid in waiting
        assert "open: the ticket is reserved; the reservation is neither sold nor released" in while_open
        assert unbalanced.returncode == 1
        assert f"order {orderid}: its ticket is still reserved" in unbalanced.stdout
        assert balanced.returncode == 0, balanced.stdout
        assert "everything balances" in balanced.stdout
        assert "charged 300 - refunded 0 = 300; approved for payment: 300" in balanced.stdout
        services = [line.split()[1] for line in ended.splitlines() if line.startswith("  20")]
        assert services.count("purchase") == 4
        assert set(services) == set(TOPOLOGY.names)
        assert "still open: nothing" in ended
        assert local.sagactl("pending").stdout == "no pending orders\n"


def test_orders_wait_for_a_stopped_service(tmp_path):
    with ready_suite(tmp_path) as local:
        stopped = local.sagactl("stop", "payment")
        listed = local.sagactl("ps").stdout
        orderid = local.order(blue=1)
        wait_until(lambda: "reserved" in local.sagactl("pending").stdout)
        assert local.pids("services.payment") == []

        started = local.sagactl("start", "payment")
        balanced = local.sagactl("audit", "--wait", "30")

        assert (stopped.returncode, started.returncode) == (0, 0), started.stderr
        states = dict.fromkeys(PROJECT.programs, "running") | {"payment": "stopped"}
        assert dict(line.split()[:2] for line in listed.splitlines()) == states
        assert balanced.returncode == 0, balanced.stdout
        assert local.status(orderid) == "approved"
        assert "serving" in local.sagactl("logs", "payment").stdout
        assert "payment ended" not in local.output


def test_unknown_names_and_a_missing_suite_are_reported(tmp_path):
    with ready_suite(tmp_path) as local:
        no_order = local.sagactl("order", "nonsense")
        no_service = local.sagactl("stop", "nonsense")
        no_log = local.sagactl("logs", "nonsense")
    no_suite = [local.sagactl("ps"), local.sagactl("audit"), sagactl("audit")]

    assert no_order.stderr.splitlines()[1:] == ["Error: order nonsense does not exist"]
    assert f"no process is named nonsense; processes: {', '.join(PROJECT.programs)}" in no_service.stderr
    assert "no log of nonsense; logs:" in no_log.stderr
    assert all("no suite runs in" in each.stderr for each in no_suite)
    assert {each.returncode for each in (no_order, no_service, no_log, *no_suite)} == {1}
