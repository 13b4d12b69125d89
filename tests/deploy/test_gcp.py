"""Setup and teardown of a Google Cloud project: printed first, idempotent, complete."""

import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from contract.topology import TOPOLOGY
from deploy.gcp.__main__ import main
from deploy.gcp.plan import Where, setup
from tests.support.gcloud_project import Project
from tests.support.manifests import ROOT

WHERE = Where("my-proj", "europe-west4", domain="shop.example.com")
OPTIONS = ("--project", "my-proj", "--region", "europe-west4", "--domain", "shop.example.com")
DATA, ROLE = "firestore databases --database=saga", "iam roles sagaEphemeralSubscriptions"


def run(project: Project, *argv: str) -> str:
    argv = (sys.executable, "-m", "deploy.gcp", *argv)
    done = subprocess.run(argv, cwd=ROOT, env=project.environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def run_script(project: Project, script: str) -> None:
    argv = ["bash"]
    done = subprocess.run(
        argv, input=script, env=project.environ, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def test_without_execute_commands_are_only_printed(project: Project):
    printed = run(project, "setup", *OPTIONS)

    assert project.changes == []
    for step in setup(WHERE):
        assert step.as_shell() in printed


def test_printed_script_does_the_same_as_execute(tmp_path: Path):
    for name in ("printed", "executed"):
        (tmp_path / name).mkdir()
    printed, executed = Project(tmp_path / "printed"), Project(tmp_path / "executed")

    run_script(printed, run(printed, "setup", *OPTIONS))
    run(executed, "setup", *OPTIONS, "--execute")

    assert printed.changes == executed.changes
    assert printed.resources == executed.resources


def test_setup_creates_the_topics_and_subscriptions_of_the_services(project: Project):
    run(project, "setup", *OPTIONS, "--execute")

    resources = project.resources
    assert {name.split()[-1] for name in resources if name.startswith("pubsub topics ")} == set(
        TOPOLOGY.all_topics()
    )
    assert {name.split()[-1] for name in resources if name.startswith("pubsub subscriptions ")} == {
        *TOPOLOGY.subscriptions(),
        TOPOLOGY.dead_letter_subscription,
    }
    assert "--type=datastore-mode" in resources["firestore databases --database=saga"]


def test_second_setup_only_updates(project: Project):
    run(project, "setup", *OPTIONS, "--execute")
    before = project.resources
    project.forget_calls()

    output = run(project, "setup", *OPTIONS, "--execute")

    assert project.resources == before
    assert not [words for words in project.changes if "create" in words and "identity" not in words]
    assert "subscription dead-letter: updated" in output


def test_teardown_keeps_the_data_unless_requested(project: Project):
    run(project, "setup", *OPTIONS, "--execute")

    run(project, "teardown", *OPTIONS, "--execute")

    assert project.resources.keys() == {DATA, ROLE}

    run(project, "teardown", *OPTIONS, "--with-data", "--execute")

    assert project.resources.keys() == {ROLE}


def test_setup_for_a_restored_database_leaves_the_earlier_one(project: Project):
    run(project, "setup", *OPTIONS, "--execute")
    project.forget_calls()

    run(project, "setup", *OPTIONS, "--database", "saga-restored", "--execute")
    set_up = project.changes
    run(project, "teardown", *OPTIONS, "--database", "saga-restored", "--with-data", "--execute")

    assert not [words for words in set_up if "--database=saga" in words]
    assert DATA in project.resources


def test_teardown_of_an_empty_project_only_revokes(project: Project):
    run(project, "teardown", *OPTIONS, "--with-data", "--execute")

    assert {words[1] for words in project.changes} == {"remove-iam-policy-binding"}


def test_failing_command_ends_the_setup(project: Project, tmp_path: Path):
    project.environ["SKIP_PREFLIGHT"] = "1"
    (tmp_path / "gcloud").unlink()
    (tmp_path / "gcloud").write_text("#!/bin/sh\necho 'PERMISSION_DENIED: no' >&2\nexit 1\n")
    (tmp_path / "gcloud").chmod(0o755)

    with pytest.raises(AssertionError, match="PERMISSION_DENIED: no"):
        run(project, "setup", *OPTIONS, "--execute")


def test_project_is_required():
    result = CliRunner().invoke(main, ["setup", "--region", "europe-west4"], env={"PROJECT_ID": ""})

    assert result.exit_code == 2
    assert "--project" in result.output
