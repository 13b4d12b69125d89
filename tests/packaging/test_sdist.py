"""The source distributions of kit and client, far from the repository, in environments of their own."""

import os
import re
import subprocess
import sys
import tarfile
import tomllib
import venv
from pathlib import Path

import pytest

from tests.support.kit_environment import constraints

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.timeout(900)


def unpacked(distribution: str, directory: Path) -> Path:
    """Build the source distribution of a folder; return where it is unpacked."""
    build = (sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", directory)
    subprocess.run(build, cwd=ROOT / distribution, check=True)
    (archive,) = directory.glob("*.tar.gz")
    with tarfile.open(archive) as source:
        source.extractall(directory, filter="data")
    return directory / archive.name.removesuffix(".tar.gz")


def environment_of(source: Path, directory: Path) -> Path:
    """Return the Python of an environment with what a source distribution needs for its tests."""
    project = tomllib.loads((source / "pyproject.toml").read_text())
    extras = ",".join(project["project"].get("optional-dependencies", {}))
    venv.create(directory / "venv", with_pip=True)
    python = directory / "venv/bin/python"
    install = ("-m", "pip", "--quiet", "--disable-pip-version-check", "install", "-c", constraints(directory))
    wanted = f"{source}[{extras}]" if extras else source
    subprocess.run((python, *install, wanted, *project["dependency-groups"]["test"]), check=True)
    return python


@pytest.mark.parametrize(
    ("distribution", "tests", "at_least"),
    [("client", "tests", 50), ("kit", "tests/unit", 700)],
    ids=["client", "kit"],
)
def test_source_distribution_passes_its_own_tests(
    distribution: str, tests: str, at_least: int, tmp_path: Path
):
    source = unpacked(distribution, tmp_path)
    python = environment_of(source, tmp_path)

    run = (python, "-m", "pytest", "-c", "tests/standalone.ini", "--rootdir", ".", "-q", tests)
    environ = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    result = subprocess.run(run, cwd=source, env=environ, capture_output=True, text=True, check=False)

    assert result.returncode == 0, result.stdout[-10_000:] + result.stderr
    passed = re.search(r"(\d+) passed", result.stdout)
    assert passed is not None
    assert int(passed[1]) >= at_least


@pytest.mark.parametrize("distribution", ["kit", "client"])
def test_unpacked_source_distribution_makes_the_same_again(distribution: str, tmp_path: Path):
    source = unpacked(distribution, tmp_path)
    build = (sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", tmp_path / "again")
    subprocess.run(build, cwd=source, check=True)

    with (
        tarfile.open(next((tmp_path / "again").glob("*.tar.gz"))) as again,
        tarfile.open(next(tmp_path.glob("*.tar.gz"))) as first,
    ):
        assert set(again.getnames()) == set(first.getnames())
