"""The virtual environments that `make` keeps, made again where they do not belong; the Pythons of CI."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
STAMPS = (".created", ".locked", ".run", ".dev")


def make(checkout: Path, *arguments: str) -> str:
    """Return the commands that `make` would run for the tools of developers."""
    command = ["make", "-n", "-C", str(checkout), "PYTHON=python3", *arguments, ".venv/.dev"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout whose environment is up to date, as far as `make` can see."""
    checkout = tmp_path / "checkout"
    for name in (
        "requirements.txt",
        "requirements-dev.txt",
        *(f"{p}pyproject.toml" for p in ("", "kit/", "client/")),
    ):
        file = checkout / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
        os.utime(file, (1, 1))
    shutil.copy(ROOT / "Makefile", checkout)
    venv = checkout / ".venv"
    (venv / "bin").mkdir(parents=True)
    (venv / "bin/python").symlink_to(sys.executable)
    (venv / "pyvenv.cfg").write_text(f"version = 3.11.2\ncommand = /usr/bin/python3 -m venv --clear {venv}\n")
    for time, stamp in enumerate(STAMPS, start=2):
        (venv / stamp).touch()
        os.utime(venv / stamp, (time, time))
    return checkout


def test_environment_of_this_checkout_is_kept(checkout):
    assert "python" not in make(checkout)


@pytest.mark.parametrize("transfer", [shutil.move, shutil.copytree], ids=["moved", "copied"])
def test_environment_that_was_made_elsewhere_is_made_again(checkout, transfer):
    elsewhere = checkout.parent / "elsewhere"
    transfer(checkout, elsewhere, **({} if transfer is shutil.move else {"symlinks": True}))

    commands = make(elsewhere)

    assert "python3 -m venv --clear .venv" in commands
    assert commands.count("pip install") == 3


def test_environment_without_its_python_is_made_again(checkout):
    (checkout / ".venv/bin/python").unlink()
    (checkout / ".venv/bin/python").symlink_to("/nowhere/python3")

    assert "python3 -m venv --clear .venv" in make(checkout)


@pytest.mark.parametrize("changed", ["pyproject.toml", "kit/pyproject.toml", "requirements-dev.txt"])
def test_one_changed_file_needs_one_installation(checkout, changed):
    (checkout / changed).touch()

    assert make(checkout).count("pip install") == 1


def test_clean_in_a_copy_does_not_run_the_code_of_the_original(checkout):
    called = checkout.parent / "called"
    sagactl = checkout / ".venv/bin/sagactl"
    sagactl.write_text(f"#!/bin/sh\ntouch {called}\n")
    sagactl.chmod(0o755)
    copy = Path(shutil.copytree(checkout, checkout.parent / "copy", symlinks=True))
    (copy / ".run").mkdir()

    subprocess.run(["make", "-C", str(copy), "clean"], check=True)

    assert not called.exists()
    assert not (copy / ".run").exists()


def test_ci_runs_the_oldest_and_the_newest_supported_python():
    newest = re.search(r"^PYTHON_NEWEST \?= python(\S+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    oldest = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"]
    steps = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())["jobs"]["ci"]["steps"]
    (versions,) = (step["with"]["python-version"] for step in steps if "setup-python" in step.get("uses", ""))

    assert versions.split() == [newest[1], oldest.removeprefix(">=")]
