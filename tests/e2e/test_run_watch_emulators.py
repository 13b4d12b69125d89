"""`sagactl watch` over a suite on Google's emulators: the same, with nothing left at Pub/Sub."""

import re

import pytest
from google.cloud import pubsub_v1

from contract.topology import EPHEMERAL_PREFIX
from tests.support.local_suite import SAGACTL, environment, suite, until
from tests.support.pseudoterminal import at_a_terminal

pytestmark = pytest.mark.emulators


@pytest.fixture
def named(firestore_emulator, pubsub_emulator, project, monkeypatch):
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", pubsub_emulator)
    return {
        "DATASTORE_EMULATOR_HOST": firestore_emulator,
        "PUBSUB_EMULATOR_HOST": pubsub_emulator,
        "GOOGLE_CLOUD_PROJECT": project,
    }


def broadcasts(project):
    with pubsub_v1.SubscriberClient() as subscriber:
        paths = [each.name for each in subscriber.list_subscriptions(project=f"projects/{project}")]
    names = {path.rpartition("/")[2] for path in paths}
    return {name for name in names if name.startswith(EPHEMERAL_PREFIX)}


def test_it_listens_at_pubsub_and_looks_into_datastore_and_leaves_nothing(tmp_path, named):
    with suite(tmp_path, environ=named) as local:
        local.until_ready()
        others = broadcasts(named["GOOGLE_CLOUD_PROJECT"])
        command = (*SAGACTL, "watch", "--run-dir", str(local.run_dir))
        with at_a_terminal(command, tmp_path, environment({"TERM": "xterm"})) as terminal:
            until(lambda: "listening" in terminal.shown)
            assert len(broadcasts(named["GOOGLE_CLOUD_PROJECT"])) == len(others) + 5

            assert local.sagactl("demo").returncode == 0

            until(lambda: "delivery-arranged" in terminal.shown)
            until(lambda: "reserve-failed sold-out" in terminal.shown)
            until(lambda: re.search(r"outbox of .*delivery.* +\d", terminal.shown))
            until(lambda: re.search(r"dead letters +\d", terminal.shown))
            terminal.type(b"q")
            assert terminal.process.wait(20) == 0
            assert terminal.as_before

        assert broadcasts(named["GOOGLE_CLOUD_PROJECT"]) == others
