"""`sagactl up` with Google's emulators: its own, and running ones that the environment names."""

import asyncio
import os
import signal
import sys

import pytest

from sagaclient import SagaClient
from sagakit.ctl.local.emulators import FIRESTORE, PUBSUB
from tests.support.eventually import eventually, wait_until
from tests.support.local_suite import alive, ready_suite, suite

pytestmark = [
    pytest.mark.emulators,
    pytest.mark.skipif(sys.platform != "linux", reason="reads /proc"),
]
OWN = {"BACKEND": "emulators"}

ORDER_EVENTS = [
    *("delivery.delivery-arranged", "end", "payment.paid", "payment.settled"),
    *("purchase.approved", "purchase.pre-approved", "stock.reserved", "stock.sold"),
]


@pytest.fixture
def named(firestore_emulator, pubsub_emulator, project):
    """The environment that names running emulators."""
    return {
        "DATASTORE_EMULATOR_HOST": firestore_emulator,
        "PUBSUB_EMULATOR_HOST": pubsub_emulator,
        "GOOGLE_CLOUD_PROJECT": project,
    }


def test_running_emulators_are_used_and_left_running(tmp_path, named):
    with ready_suite(tmp_path, "--replicas", "2", environ={"BACKEND": "auto", **named}) as local:
        assert "named by DATASTORE_EMULATOR_HOST and PUBSUB_EMULATOR_HOST" in local.output
        assert len(local.pids()) == 9
        assert local.sagactl("demo").returncode == 0
        audit = local.sagactl("audit", "--wait", "60")
        assert audit.returncode == 0, audit.stdout
        assert local.end() == 0

    with ready_suite(tmp_path, environ={"BACKEND": "auto", **named}):
        pass


@pytest.mark.alone
@pytest.mark.usefixtures("named")
def test_own_emulators_are_ready_in_time_and_end_with_the_suite(tmp_path):
    with suite(tmp_path, "--backend", "auto") as local:
        assert local.until_ready() < 20
        assert "backend: emulators (found gcloud and Java); they lose all data when" in local.output
        processes = local.pids()
        assert len(processes) == 7

        assert local.end() == 0

        assert not any(map(alive, processes))


@pytest.mark.usefixtures("named")
def test_own_emulators_do_not_outlive_a_killed_suite(tmp_path):
    with ready_suite(tmp_path, environ=OWN) as local:
        processes = local.pids()

        local.process.kill()

        wait_until(lambda: not any(map(alive, processes)))


@pytest.mark.usefixtures("named")
@pytest.mark.parametrize("emulator", [FIRESTORE, PUBSUB], ids=lambda emulator: emulator.component)
def test_emulator_that_was_killed_or_restarted_is_provisioned(tmp_path, emulator):
    with ready_suite(tmp_path, environ=OWN) as local:
        (pid,) = local.pids(emulator.main_class)

        os.kill(pid, signal.SIGKILL)
        local.until_printed(f"{emulator.component} ended (killed by SIGKILL); restarting in")
        local.until_printed(f"the {emulator.title} has restarted empty: its data is lost")
        local.until_printed(f"the {emulator.title} is provisioned again")
        wait_until(lambda: local.sagactl("demo").returncode == 0)

        assert local.sagactl("restart", emulator.component).returncode == 0
        local.until_printed(f"the {emulator.title} is provisioned again", times=2)
        wait_until(lambda: local.sagactl("demo").returncode == 0)


@pytest.mark.usefixtures("named")
def test_emulator_that_fails_to_start_is_reported_with_its_log(tmp_path):
    java = tmp_path / "jdk/bin/java"
    java.parent.mkdir(parents=True)
    java.write_text("#!/bin/sh\necho no such heap; exit 1\n")
    java.chmod(0o755)

    with suite(tmp_path, environ={**OWN, "JAVA_HOME": str(tmp_path / "jdk")}) as local:
        assert local.process.wait(60) == 1
        assert "does not start" in local.output
        assert "  no such heap" in local.output


@pytest.mark.usefixtures("named")
async def test_order_stream_survives_the_loss_of_the_broker(tmp_path):
    """Every event is received exactly once although the broker loses all its messages."""
    with suite(tmp_path, environ={**OWN, "REMINDER_INTERVAL_SECONDS": "2"}) as local:
        await asyncio.to_thread(local.until_ready)
        assert local.sagactl("stop", "payment").returncode == 0
        orderid = await asyncio.to_thread(local.order, blue=3)
        async with SagaClient(local.facts["gateway"]) as client:
            received: list[str] = []
            following = asyncio.create_task(follow(client, orderid, received))
            await eventually(lambda: "stock.reserved" in received, 30)

            (broker,) = local.pids(PUBSUB.main_class)
            os.kill(broker, signal.SIGKILL)
            await asyncio.to_thread(local.until_printed, f"the {PUBSUB.title} is provisioned again")
            assert local.sagactl("start", "payment").returncode == 0

            await asyncio.wait_for(following, 60)

    assert sorted(received) == ORDER_EVENTS


async def follow(client: SagaClient, orderid: str, received: list[str]) -> None:
    async for event in client.order_events(orderid):
        name = "end" if event.service is None else f"{event.service}.{event.status}"
        received.append(name)
