"""The way to a real project: the contract suites run over it, and nothing is left in it."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.support.manifests import ROOT

SCRIPT = ROOT / "deploy/gcp/test-cloud"

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def environ(tmp_path: Path) -> Mapping[str, str]:
    """A machine with a gcloud that keeps books."""
    (tmp_path / "state").mkdir()
    (tmp_path / "gcloud").symlink_to(ROOT / "tests/support/gcloud")
    return {
        **os.environ,
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "FAKE_GCLOUD": str(tmp_path / "state"),
        "PROJECT_ID": "my-proj",
        "PYTHON": sys.executable,
    }


def run(environ: Mapping[str, str], *argv: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([SCRIPT, *argv], env=environ, capture_output=True, text=True, check=False)


def told(environ: Mapping[str, str]) -> list[str]:
    return (Path(environ["FAKE_GCLOUD"]) / "calls").read_text().replace("\t", " ").splitlines()


@pytest.mark.emulators
def test_the_contract_suites_run_over_what_stands_for_a_project(
    environ: Mapping[str, str], firestore_emulator: str, pubsub_emulator: str
):
    standing_in = {"CLOUD_DATASTORE_EMULATOR": firestore_emulator, "CLOUD_PUBSUB_EMULATOR": pubsub_emulator}

    done = run({**environ, **standing_in}, "-q", "--no-header", "-p", "no:cacheprovider")

    assert done.returncode == 0, done.stdout
    assert "passed" in done.stdout
    assert "failed" not in done.stdout
    (made,) = (line for line in told(environ) if line.startswith("firestore databases create"))
    assert "--type=datastore-mode" in made


def test_what_fails_fails_the_run_and_leaves_nothing(environ: Mapping[str, str]):
    done = run({**environ, "PYTHON": "false"})

    assert done.returncode == 1
    calls = told(environ)
    granted = [call for call in calls if "add-iam-policy-binding" in call]
    revoked = [call for call in calls if "remove-iam-policy-binding" in call]
    assert [call.replace("add-", "remove-") for call in granted] == revoked
    assert [path.name for path in Path(environ["FAKE_GCLOUD"]).iterdir()] == ["calls"]


def test_topics_and_subscriptions_of_the_run_are_removed(environ: Mapping[str, str]):
    """One of each is left by what runs in place of the suites, and one of somebody else's is there."""
    state = Path(environ["FAKE_GCLOUD"])
    leaving = state.parent / "leaving"
    leaving.write_text(
        '#!/bin/sh\ngcloud pubsub topics create "$CLOUD_RUN-1-things"\n'
        'gcloud pubsub subscriptions create "$CLOUD_RUN-1-one" --topic=x\n'
        "gcloud pubsub topics create things\n"
    )
    leaving.chmod(0o755)

    done = run({**environ, "PYTHON": str(leaving)})

    assert done.returncode == 0, done.stderr
    assert {path.name for path in state.iterdir()} == {"calls", "pubsub topics things"}


def test_a_project_has_to_be_named(environ: Mapping[str, str]):
    done = run({**environ, "PROJECT_ID": ""})

    assert done.returncode != 0
    assert "PROJECT_ID" in done.stderr
