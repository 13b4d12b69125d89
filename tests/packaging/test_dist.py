"""`make dist`: what a release consists of."""

import hashlib
import json
import re
import subprocess
import sys
import tarfile
import zipfile
from email import message_from_bytes
from email.message import Message
from pathlib import Path

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from sagakit.version import __version__

ROOT = Path(__file__).parents[2]
DIST = ROOT / "build/dist"

SBOMS = ("sagakit", "sagaclient", "saga-suite")
"""The SBOM of each wheel has its name, without the version: what is published is found by that."""

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
        *(f"{name}.cdx.json" for name in SBOMS),
    }


def test_same_sources_make_the_same_bytes(built):
    assert dist() == built


def components(name: str) -> dict[str, str]:
    """Return the packages in the SBOM of a wheel, with their versions."""
    listed = json.loads((DIST / f"{name}.cdx.json").read_text())["components"]
    return {each["name"]: each["version"] for each in listed}


@pytest.mark.parametrize("name", SBOMS)
def test_sbom_is_that_of_its_wheel(name: str, built):
    text = (DIST / f"{name}.cdx.json").read_text()

    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    described = json.loads(text)["metadata"]["component"]
    assert (described["name"], described["version"]) == (name, __version__)
    pins = re.findall(
        r"^([\w.-]+)(?:\[[\w,]+\])?==([\w.]+)", (ROOT / "requirements.txt").read_text(), re.MULTILINE
    )
    assert components(name).items() <= set(pins)


def test_sboms_list_what_their_wheels_need(built):
    kit, client, suite = map(components, SBOMS)

    assert {"grpcio", "click", "cryptography", "h11", "google-auth"} <= kit.keys()
    assert client.keys() == {"anyio", "certifi", "h11", "httpcore", "httpx", "idna", "typing-extensions"}
    assert kit.items() | client.items() <= suite.items()
    assert {"fastapi", "starlette"} <= suite.keys() - kit.keys()
    assert not {"hatchling", "pluggy"} & suite.keys(), "what builds it is not in it"


@pytest.mark.parametrize("name", ["kit", "client"])
def test_source_distribution_builds_the_same_wheel(name: str, built, tmp_path: Path):
    source = DIST / f"saga{name}-{__version__}.tar.gz"
    build = ("pip", "--quiet", "wheel", "--no-deps", "--no-build-isolation", "-w", tmp_path, source)
    subprocess.run((sys.executable, "-m", *build), check=True)

    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as made, zipfile.ZipFile(DIST / wheel.name) as released:
        assert made.namelist() == released.namelist()


PUBLISHED = ("sagakit", "sagaclient")
"""The distributions that a release publishes; the suite is an application, of which images are published."""


def metadata(name: str) -> Message:
    """Return the core metadata in a wheel."""
    with zipfile.ZipFile(DIST / f"{name}-{__version__}-py3-none-any.whl") as wheel:
        return message_from_bytes(wheel.read(f"{name}-{__version__}.dist-info/METADATA"))


def test_an_index_renders_metadata_and_long_descriptions(built):
    """`twine check --strict` also rejects what an index would: unknown classifiers, invalid metadata."""
    files = [DIST / name for name in built if name.startswith(tuple(f"{each}-" for each in PUBLISHED))]
    check = (sys.executable, "-m", "twine", "check", "--strict", *files)

    result = subprocess.run(check, capture_output=True, text=True, check=False)

    assert result.returncode == 0, result.stdout + result.stderr
    assert len(files) == 4


@pytest.mark.parametrize("name", PUBLISHED)
def test_metadata_is_complete(name: str, built):
    found = metadata(name)

    required = ("Summary", "Author", "Maintainer", "Keywords", "License-Expression", "License-File")
    assert [field for field in required if not found[field]] == []
    assert "Typing :: Typed" in found.get_all("Classifier")
    labels = {url.partition(",")[0] for url in found.get_all("Project-URL")}
    assert {"Repository", "Documentation", "Changelog", "Issues"} <= labels
    assert found["Description-Content-Type"] == "text/markdown"


@pytest.mark.parametrize("name", PUBLISHED)
def test_classifiers_name_the_pythons_that_ci_tests(name: str, built):
    versions = re.findall(r":: (3\.\d+)$", "\n".join(metadata(name).get_all("Classifier")), re.MULTILINE)
    newest = re.search(r"^PYTHON_NEWEST \?= python(\S+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)

    assert (f">={versions[0]}", versions[-1]) == (metadata(name)["Requires-Python"], newest[1])


@pytest.mark.parametrize("name", PUBLISHED)
def test_long_description_links_nothing_relative_to_the_repository(name: str, built):
    """On an index's page a relative link leads nowhere."""
    links = re.findall(r"\]\(([^)]+)\)", metadata(name).get_payload())

    assert [link for link in links if not link.startswith("https://")] == []


@pytest.mark.parametrize("name", PUBLISHED)
def test_distributions_are_typed_and_carry_the_licence(name: str, built):
    with zipfile.ZipFile(DIST / f"{name}-{__version__}-py3-none-any.whl") as wheel:
        in_wheel = wheel.namelist()
    with tarfile.open(DIST / f"{name}-{__version__}.tar.gz") as source:
        in_source = source.getnames()

    assert f"{name}/py.typed" in in_wheel
    assert f"{name}-{__version__}.dist-info/licenses/LICENSE" in in_wheel
    assert {f"{name}-{__version__}/{file}" for file in ("LICENSE", "README.md", f"{name}/py.typed")} <= set(
        in_source
    )


def test_an_index_rejects_the_suite(built):
    assert metadata("saga_suite").get_all("Classifier") == ["Private :: Do Not Upload"]
