"""`sagactl up` with Google's emulators: its own, and those of somebody else."""

import os
import signal
import sys

import pytest

from sagactl.emulators import FIRESTORE, PUBSUB
from tests.support.local_suite import alive, suite, until

pytestmark = [
    pytest.mark.emulators,
    pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc"),
]


@pytest.fixture
def named(firestore_emulator, pubsub_emulator, project):
    """The environment of somebody who has emulators running."""
    return {
        "DATASTORE_EMULATOR_HOST": firestore_emulator,
        "PUBSUB_EMULATOR_HOST": pubsub_emulator,
        "GOOGLE_CLOUD_PROJECT": project,
    }


def test_emulators_that_run_already_are_used_and_left_running(tmp_path, named):
    with suite(tmp_path, environ=named) as local:
        local.until_ready()

        assert "named by DATASTORE_EMULATOR_HOST and PUBSUB_EMULATOR_HOST" in local.output
        assert len(local.pids()) == 5
        assert local.sagactl("demo").returncode == 0
        assert local.end() == 0

    with suite(tmp_path, environ=named) as local:
        local.until_ready()


@pytest.mark.usefixtures("named")
def test_emulators_of_its_own_end_with_it(tmp_path):
    with suite(tmp_path, "--backend", "auto") as local:
        local.until_ready()
        assert "backend: emulators (found gcloud and Java); they keep nothing" in local.output
        processes = local.pids()
        assert len(processes) == 7

        assert local.end() == 0

        assert not any(map(alive, processes))


@pytest.mark.usefixtures("named")
def test_emulators_of_its_own_do_not_outlive_it_when_it_is_killed(tmp_path):
    with suite(tmp_path, "--backend", "emulators") as local:
        local.until_ready()
        processes = local.pids()

        local.process.kill()

        until(lambda: not any(map(alive, processes)))


@pytest.mark.usefixtures("named")
@pytest.mark.parametrize("emulator", [FIRESTORE, PUBSUB], ids=lambda emulator: emulator.component)
def test_an_emulator_that_dies_is_started_again_and_set_up(tmp_path, emulator):
    with suite(tmp_path, "--backend", "emulators") as local:
        local.until_ready()
        (pid,) = local.pids(emulator.main_class)

        os.kill(pid, signal.SIGKILL)
        local.until_said(f"{emulator.component} ended (killed by SIGKILL); it is started again in")
        local.until_said(f"the {emulator.title} begins empty: the data it held is lost")
        local.until_said(f"the {emulator.title} is set up again")

        until(lambda: local.sagactl("demo").returncode == 0)


@pytest.mark.usefixtures("named")
def test_an_emulator_that_cannot_start_is_reported_with_the_end_of_its_log(tmp_path):
    java = tmp_path / "jdk/bin/java"
    java.parent.mkdir(parents=True)
    java.write_text("#!/bin/sh\necho no such heap; exit 1\n")
    java.chmod(0o755)

    with suite(tmp_path, "--backend", "emulators", environ={"JAVA_HOME": str(tmp_path / "jdk")}) as local:
        assert local.process.wait(60) == 1
        assert "does not start" in local.output
        assert "  no such heap" in local.output
