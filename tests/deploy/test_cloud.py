"""`make test-cloud`: the contract suites run against a real project and leave nothing in it."""

import subprocess
import sys

import pytest

from tests.support.gcloud_project import Project
from tests.support.manifests import ROOT

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def project(tmp_path) -> Project:
    return Project(tmp_path)


def run(project: Project, *argv: str, **environ: str) -> subprocess.CompletedProcess[str]:
    environ = {**project.environ, "PROJECT_ID": "my-proj", "PYTHON": sys.executable, **environ}
    argv = (str(ROOT / "deploy/gcp/test-cloud"), *argv)
    return subprocess.run(argv, env=environ, capture_output=True, text=True, check=False)


@pytest.mark.emulators
def test_contract_suites_run_against_emulators_in_place_of_a_project(
    project: Project, firestore_emulator: str, pubsub_emulator: str
):
    emulators = {"CLOUD_DATASTORE_EMULATOR": firestore_emulator, "CLOUD_PUBSUB_EMULATOR": pubsub_emulator}

    done = run(project, "-q", "--no-header", "-p", "no:cacheprovider", **emulators)

    assert done.returncode == 0, done.stdout
    assert "passed" in done.stdout
    assert "failed" not in done.stdout
    (database,) = (words for words in project.calls if words[:3] == ["firestore", "databases", "create"])
    assert "--type=datastore-mode" in database


def test_failing_run_fails_and_leaves_nothing(project: Project):
    done = run(project, PYTHON="false")

    assert done.returncode == 1
    calls = ["\t".join(words) for words in project.calls]
    granted = [call for call in calls if "add-iam-policy-binding" in call]
    revoked = [call for call in calls if "remove-iam-policy-binding" in call]
    assert [call.replace("add-", "remove-") for call in granted] == revoked
    assert not project.resources


def test_only_topics_and_subscriptions_of_the_run_are_removed(project: Project):
    """In place of the suites a script leaves one of each, and one topic of another application."""
    leaving = project.directory / "leaving"
    leaving.write_text(
        '#!/bin/sh\ngcloud pubsub topics create "$CLOUD_RUN-1-things"\n'
        'gcloud pubsub subscriptions create "$CLOUD_RUN-1-one" --topic=x\n'
        "gcloud pubsub topics create things\n"
    )
    leaving.chmod(0o755)

    done = run(project, PYTHON=str(leaving))

    assert done.returncode == 0, done.stderr
    assert project.resources.keys() == {"pubsub topics things"}


def test_project_id_is_required(project: Project):
    done = run(project, PROJECT_ID="")

    assert done.returncode != 0
    assert "PROJECT_ID" in done.stderr
