"""Setting a Google Cloud project up: printed before done, safe to repeat, and removed again."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from click.testing import CliRunner

from contract import topology
from deploy.gcp.__main__ import main
from deploy.gcp.plan import Where, setup
from sagactl.local.provision import topics
from tests.support.manifests import ROOT

WHERE = Where("my-proj", "europe-west4", domain="shop.example.com")
OPTIONS = ("--project", "my-proj", "--region", "europe-west4", "--domain", "shop.example.com")
DATA, ROLE = "firestore databases --database=saga", "iam roles sagaEphemeralSubscriptions"


class Project:
    """A project in which a fake gcloud works."""

    def __init__(self, directory: Path) -> None:
        self._state = directory / "state"
        self._state.mkdir()
        (directory / "gcloud").symlink_to(ROOT / "tests/support/gcloud")
        self._environ = {
            **os.environ,
            "PATH": f"{directory}:{Path(sys.executable).parent}:{os.environ['PATH']}",
            "FAKE_GCLOUD": str(self._state),
        }

    def run(self, *argv: str) -> str:
        argv = (sys.executable, "-m", "deploy.gcp", *argv)
        done = subprocess.run(argv, cwd=ROOT, env=self._environ, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def run_script(self, script: str) -> None:
        done = subprocess.run(
            ["bash"], input=script, env=self._environ, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr

    @property
    def there(self) -> Mapping[str, list[str]]:
        """What was made and not removed, with the words that made it."""
        made = (path for path in self._state.iterdir() if path.name != "calls")
        return {path.name: path.read_text().rstrip("\n").split("\t") for path in made}

    @property
    def changes(self) -> list[list[str]]:
        """What it was told to do, but to look."""
        calls = self._state / "calls"
        told = [line.split("\t") for line in calls.read_text().splitlines()] if calls.exists() else []
        return [words for words in told if "describe" not in words]

    def forget_calls(self) -> None:
        (self._state / "calls").unlink()


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def test_without_being_told_to_execute_nothing_is_done_and_everything_is_printed(project: Project):
    printed = project.run("setup", *OPTIONS)

    assert project.changes == []
    for step in setup(WHERE):
        assert step.as_shell() in printed


def test_what_is_printed_does_what_execute_does(tmp_path: Path):
    for name in ("printed", "executed"):
        (tmp_path / name).mkdir()
    printed, executed = Project(tmp_path / "printed"), Project(tmp_path / "executed")

    printed.run_script(printed.run("setup", *OPTIONS))
    executed.run("setup", *OPTIONS, "--execute")

    assert printed.changes == executed.changes
    assert printed.there == executed.there


def test_a_project_is_set_up_with_the_topics_and_subscriptions_that_the_services_use(project: Project):
    project.run("setup", *OPTIONS, "--execute")

    there = project.there
    assert {name.split()[-1] for name in there if name.startswith("pubsub topics ")} == set(topics())
    assert {name.split()[-1] for name in there if name.startswith("pubsub subscriptions ")} == {
        *topology.subscriptions(),
        topology.DEAD_LETTER_SUBSCRIPTION,
    }
    assert "--type=datastore-mode" in there["firestore databases --database=saga"]


def test_setting_up_again_makes_nothing_and_brings_up_to_date(project: Project):
    project.run("setup", *OPTIONS, "--execute")
    before = project.there
    project.forget_calls()

    said = project.run("setup", *OPTIONS, "--execute")

    assert project.there == before
    assert not [words for words in project.changes if "create" in words and "identity" not in words]
    assert "subscription dead-letter: updated" in said


def test_a_teardown_leaves_the_data_unless_told_otherwise(project: Project):
    project.run("setup", *OPTIONS, "--execute")

    project.run("teardown", *OPTIONS, "--execute")

    assert project.there.keys() == {DATA, ROLE}

    project.run("teardown", *OPTIONS, "--with-data", "--execute")

    assert project.there.keys() == {ROLE}


def test_a_teardown_of_nothing_does_nothing_but_revoke(project: Project):
    project.run("teardown", *OPTIONS, "--with-data", "--execute")

    assert {words[1] for words in project.changes} == {"remove-iam-policy-binding"}


def test_what_fails_is_said_and_ends_it(project: Project, tmp_path: Path):
    (tmp_path / "gcloud").unlink()
    (tmp_path / "gcloud").write_text("#!/bin/sh\necho 'PERMISSION_DENIED: no' >&2\nexit 1\n")
    (tmp_path / "gcloud").chmod(0o755)

    with pytest.raises(AssertionError, match="PERMISSION_DENIED: no"):
        project.run("setup", *OPTIONS, "--execute")


def test_a_project_has_to_be_named():
    result = CliRunner().invoke(main, ["setup", "--region", "europe-west4"], env={"PROJECT_ID": ""})

    assert result.exit_code == 2
    assert "--project" in result.output
