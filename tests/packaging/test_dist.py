"""`make dist`: what a release consists of."""

import hashlib
import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from sagakit.version import __version__

ROOT = Path(__file__).parents[2]
DIST = ROOT / "build/dist"

pytestmark = pytest.mark.timeout(300)


def dist() -> dict[str, str]:
    """Build everything; return the hash of each file."""
    make = ("make", "--no-print-directory", f"PYTHON={sys.executable}", "dist")
    subprocess.run(make, cwd=ROOT, check=True, capture_output=True)
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in DIST.iterdir()}


@pytest.fixture(scope="module")
def built() -> dict[str, str]:
    return dist()


def test_every_distribution_has_the_one_version(built):
    names = [f"{name}-{__version__}" for name in ("sagakit", "sagaclient", "saga_suite")]

    assert set(built) == {
        *(f"{name}-py3-none-any.whl" for name in names),
        *(f"{name}.tar.gz" for name in names),
        "saga-suite.cdx.json",
    }


def test_same_sources_make_the_same_bytes(built):
    assert dist() == built


def test_bill_of_materials_names_every_pinned_package(built):
    components = json.loads((DIST / "saga-suite.cdx.json").read_text())["components"]
    pins = re.findall(
        r"^([\w.-]+)(?:\[[\w,]+\])?==([\w.]+)", (ROOT / "requirements.txt").read_text(), re.MULTILINE
    )

    assert {(each["name"], each["version"]) for each in components} == set(pins)
    assert len(pins) > 30


@pytest.mark.parametrize("name", ["kit", "client"])
def test_source_distribution_builds_the_same_wheel(name: str, built, tmp_path: Path):
    source = DIST / f"saga{name}-{__version__}.tar.gz"
    build = ("pip", "--quiet", "wheel", "--no-deps", "--no-build-isolation", "-w", tmp_path, source)
    subprocess.run((sys.executable, "-m", *build), check=True)

    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as made, zipfile.ZipFile(DIST / wheel.name) as released:
        assert made.namelist() == released.namelist()
