"""The workflows of GitHub: pinned actions, few permissions, and a release that stops where it must."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from sagakit.version import __version__

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))


def jobs(workflow: str) -> dict:
    return yaml.safe_load((ROOT / f".github/workflows/{workflow}.yml").read_text())["jobs"]


def actions(workflow: Path) -> list[tuple[str, str, str]]:
    """Return every action that is used: its name, the commit, the version in the comment."""
    return re.findall(r"uses: ([^@\s]+)@(\S+)(?: # (v[\d.]+))?$", workflow.read_text(), re.MULTILINE)


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.stem)
def test_actions_are_pinned_by_commit(workflow: Path):
    """A tag can be moved to other code; a commit cannot."""
    used = actions(workflow)

    assert len(used) == workflow.read_text().count("uses:")
    assert [each for each in used if not re.fullmatch("[0-9a-f]{40}", each[1]) or not each[2]] == []


def test_an_action_has_the_same_version_everywhere():
    used = {each for workflow in WORKFLOWS for each in actions(workflow)}

    assert len({name for name, *_ in used}) == len(used)


def test_backends_of_the_images_are_late_by_minutes_every_night():
    (step,) = (each for each in jobs("soak")["late-backends"]["steps"] if "LATE_SECONDS" in str(each))
    file, _, name = step["run"].split()[-1].partition("::")

    assert step["env"] == {"LATE_SECONDS": "180"}
    assert f"def {name}(" in (ROOT / file).read_text()


def test_only_the_publishing_job_can_publish():
    """It needs no checkout, so that nothing of the repository runs with its permission."""
    publish = jobs("release")["publish"]

    assert publish["permissions"] == {"id-token": "write"}
    assert publish["environment"] == "pypi"
    assert all("run" not in step for step in publish["steps"])


def test_what_is_published_is_kit_and_client():
    uploads = [step["with"] for step in jobs("release")["build"]["steps"] if "upload-artifact" in str(step)]
    (published,) = (each["path"].split() for each in uploads if each["name"] == "dist")

    assert published == ["build/dist/sagakit-*", "build/dist/sagaclient-*"]


@pytest.mark.parametrize(
    ("tag", "address", "publishable"),
    [
        (f"v{__version__}", "forge.test", True),
        ("v0.0.1", "forge.test", False),
        (f"v{__version__}", "example.com", False),
    ],
)
def test_release_stops_at_another_tag_and_at_example_addresses(tag, address, publishable, tmp_path: Path):
    for name in ("kit/pyproject.toml", "client/pyproject.toml", "kit/sagakit/version.py"):
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, file)
        file.write_text(re.sub(r"https://[^/\"]+", f"https://{address}", file.read_text()))
    (script,) = (
        step["run"] for step in jobs("release")["build"]["steps"] if step.get("name", "").startswith("Stop")
    )

    environ = {"PATH": os.environ["PATH"], "GITHUB_REF_NAME": tag}
    result = subprocess.run(["bash", "-ec", script], cwd=tmp_path, env=environ, check=False)

    assert (result.returncode == 0) == publishable
