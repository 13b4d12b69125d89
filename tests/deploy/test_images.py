"""Every image builds, meets a cluster's requirements, and runs as the local overlay specifies."""

import asyncio
import json
import os
import re
import time
import tomllib
from collections.abc import Iterator
from importlib.metadata import distributions
from pathlib import Path

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packaging.utils import canonicalize_name

from contract.topology import TOPOLOGY
from deploy.wheel_sbom import direct_requirements, needed_pins
from sagactl.cli.demo import run_scenarios
from sagakit.ctl.local.emulators import FIRESTORE, PUBSUB, why_unavailable
from tests.support import images
from tests.support.images import IMAGES, Image
from tests.support.manifests import ROOT
from tests.support.metrics import scraped
from tests.support.pods import Pods

TAG = "ci"
PROCESSES = (*TOPOLOGY.names, "gateway")
LATE_SECONDS = float(os.environ.get("LATE_SECONDS", "10"))
"""How late backends come in their test: 180 every night (.github/workflows/soak.yml)."""
MAX_MEGABYTES = 150
"""Maximum size of an image on top of its base."""

pytestmark = [pytest.mark.emulators, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def built() -> Iterator[dict[str, Image]]:
    missing = images.missing() or why_unavailable(FIRESTORE, PUBSUB)
    if missing is not None:
        problem = f"cannot build and run the images: {missing}"
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(problem)
    images.build_all(TAG)
    with images.opened(IMAGES, TAG) as opened:
        yield opened


def package_of(image: str) -> str:
    """Return the package of services/ that an image runs."""
    return image.replace("-", "_")


@pytest.mark.parametrize("name", IMAGES)
def test_image_is_unprivileged_stops_on_sigterm_and_starts_without_a_shell(name: str, built):
    config = built[name].config

    user, _, group = config["User"].partition(":")
    assert int(user) > 10_000
    assert int(group) > 10_000
    assert config["StopSignal"] == "SIGTERM"
    program = ["-m", "sagactl"] if name == "sagactl" else ["main.py"]
    assert config["Entrypoint"] == ["python", *program]
    assert not config.get("Cmd")


@pytest.mark.parametrize("name", IMAGES)
def test_image_has_its_program_and_no_build_tools(name: str, built):
    rootfs = built[name].rootfs
    services = {path.name for path in (rootfs / "app/services").iterdir() if path.is_dir()}
    packages = {path.name.partition("-")[0] for path in (rootfs / "opt/venv").glob("lib/*/site-packages/*")}

    assert services - {"__pycache__"} == (
        {package_of(name)} if name != "sagactl" else {package_of(each) for each in PROCESSES}
    )
    assert {"grpc", "google"} <= packages
    assert not packages & {"pip", "setuptools", "hatchling", "grpc_tools", "pytest"}
    assert not [*rootfs.glob("usr/bin/*gcc*"), *rootfs.glob("usr/bin/cc"), *rootfs.glob("root/.cache/*")]
    own = "sagactl" if name == "sagactl" else f"services/{package_of(name)}"
    assert len([*rootfs.glob(f"app/{own}/*.py")]) == len([*rootfs.glob(f"app/{own}/__pycache__/*.pyc")])


@pytest.mark.parametrize("name", IMAGES)
def test_image_is_labelled(name: str, built):
    prefix = "org.opencontainers.image."
    labels = {
        key.removeprefix(prefix): value
        for key, value in built[name].config["Labels"].items()
        if key.startswith(prefix)
    }

    assert (labels["title"], labels["version"], labels["licenses"]) == (f"saga-{name}", TAG, "Apache-2.0")
    assert labels["revision"]
    assert labels["base.name"] == images.BASE


@pytest.mark.parametrize("name", IMAGES)
def test_image_has_a_valid_sbom_of_what_it_has(name: str, built):
    rootfs = built[name].rootfs
    text = (rootfs / "app/sbom.cdx.json").read_text()

    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    document = json.loads(text)
    assert document["metadata"]["component"]["name"] == f"saga-{name}"
    listed = {each["purl"].partition("@")[0]: each["version"] for each in document["components"]}
    python = installed(rootfs / "opt/venv")
    assert {purl.rpartition("/")[2]: version for purl, version in listed.items() if "pypi" in purl} == python
    debian = (rootfs / "var/lib/dpkg/status").read_text().count("\nStatus: install ok installed")
    assert sum("deb/debian" in purl for purl in listed) == debian > 50
    assert "pkg:generic/python" in listed


def test_image_has_only_the_packages_that_the_suite_needs(built):
    """Known mistake: what the build tools need stays when they are removed."""
    projects = ("pyproject.toml", "kit/pyproject.toml", "client/pyproject.toml")
    direct = [name for file in projects for name in direct_requirements((ROOT / file).read_text())]
    pins = needed_pins((ROOT / "requirements.txt").read_text(), direct)

    found = installed(built["stock"].rootfs / "opt/venv").keys()

    assert found == set(re.findall(r"^([\w.-]+)(?=\[|==)", pins, re.MULTILINE))


def installed(venv: Path) -> dict[str, str]:
    """Return the packages in an environment, with their versions."""
    found = distributions(path=[str(path) for path in venv.glob("lib/*/site-packages")])
    return {canonicalize_name(each.name): each.version for each in found}


def test_same_sources_make_the_same_image(built, tmp_path: Path):
    """Without the cache, from files of another time that only their owner may read."""
    checkout(tmp_path)

    again = images.build("stock", tmp_path)

    assert again.layers == built["stock"].layers
    assert {**again.config, "Labels": {}} == {**built["stock"].config, "Labels": {}}


def checkout(directory: Path) -> None:
    """Copy the files of the images, as another user's checkout at another time would have them."""
    shown = (line for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!"))
    for name in (".dockerignore", "Dockerfile", *(line.removeprefix("!") for line in shown)):
        for path in (ROOT / name, *(ROOT / name).rglob("*")):
            copy = directory / path.relative_to(ROOT)
            if path.is_file() and path.suffix != ".pyc":
                copy.parent.mkdir(parents=True, exist_ok=True)
                copy.write_bytes(path.read_bytes())
                copy.chmod(0o600)
                copy.parent.chmod(0o700)


def test_gateway_image_has_the_web_ui(built):
    files = {file.name for file in (ROOT / "services/gateway/ui").iterdir()}

    assert {file.name for file in (built["gateway"].rootfs / "app/services/gateway/ui").iterdir()} == files


def test_sagactl_image_has_every_package_of_the_project(built):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    packages = project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]

    assert [name for name in packages if not (built["sagactl"].rootfs / "app" / name).is_dir()] == []


@pytest.mark.parametrize("name", IMAGES)
def test_image_adds_little_to_its_base(name: str, built):
    size = sum(
        path.lstat().st_size
        for directory in ("opt", "app")
        for path in (built[name].rootfs / directory).rglob("*")
    )

    assert size / 1e6 < MAX_MEGABYTES


def test_images_run_and_stop_as_the_local_overlay_specifies(built, tmp_path: Path):
    """Non-root, on a read-only file system, with its order, environment, arguments, probes and grace."""
    with Pods(built, "local", tmp_path) as pods:
        pods.start("provision")
        pods.start_emulators()
        pods.until_ready("firestore", "pubsub")
        for service in TOPOLOGY.names:
            pods.finish(service, "provisioned")
            pods.start(service)
        pods.finish("gateway", "provisioned")
        pods.start("gateway")
        pods.until_ready(*PROCESSES)
        pods.finish("seed", "seeded")
        pods.start("seed")

        asyncio.run(run_scenarios(pods.address("gateway"), print))
        measured = scraped(pods.address(each, "metrics").removeprefix("http://") for each in PROCESSES)
        assert measured.value("saga_order_duration_seconds_count", outcome="approved") >= 1
        assert {labels["service_name"] for name, labels, _ in measured if name == "target_info"} == {
            *PROCESSES
        }

        pods.start("load-generator")
        pods.until_printed("load-generator", "approved")
        assert pods.stop("load-generator") == {"load-generator": 0}, pods.output("load-generator")
        assert "nothing is lost" in pods.output("load-generator")

        assert set(pods.stop().values()) == {0}


@pytest.mark.timeout(600 + 5 * LATE_SECONDS)
def test_images_wait_for_dns_then_the_broker_then_the_database_then_a_service(built, tmp_path: Path):
    """Each comes LATE_SECONDS after the one before. No process ends: in a cluster it would be restarted."""
    with Pods(built, "local", tmp_path, ready_seconds=60 + LATE_SECONDS) as pods:
        pods.resolve_by_dns()
        first = [name for name in PROCESSES if name != "stock"]
        for name in PROCESSES:
            pods.start(name, "provisioned")
        for name in (*first, "provision"):
            pods.start(name)
        pods.start("seed", "seeded")

        for appear in (
            lambda: pods.add_names("firestore", "pubsub", *first),
            lambda: pods.start_emulators("pubsub"),
            lambda: pods.start_emulators("firestore"),
            lambda: (pods.add_names("stock"), pods.start("stock")),
        ):
            wait(pods, LATE_SECONDS)
            appear()

        for name in PROCESSES:
            pods.finish(name, "provisioned")
        pods.until_ready(*PROCESSES)
        pods.finish("seed", "seeded")
        asyncio.run(run_scenarios(pods.address("gateway"), print))
        pods.check_running()


def wait(pods: Pods, seconds: float) -> None:
    """Let the time pass while every process keeps running."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        pods.check_running()
        time.sleep(0.2)
