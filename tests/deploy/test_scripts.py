"""`make images`, `make push` and `make deploy`: the calls of docker and kubectl."""

import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml

from tests.support.images import IMAGES
from tests.support.manifests import ROOT, rendered

BASE = re.search(r"^ARG BASE=(\S+)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)[1]
LABEL = "--label org.opencontainers.image."
NAMED = f"--tag r/s/{{0}}:v7 {{1}} {LABEL}title=saga-{{0}} {LABEL}version=v7 "
NAMED += f"{LABEL}revision=unknown {LABEL}base.name="
"""Without git or a repository the revision is unknown, and the time of the commit is 0."""
LICENSE = f"{LABEL}licenses=Apache-2.0"
NAME, _, DIGEST = BASE.partition("@")
BY_DIGEST = f"{LICENSE} {LABEL}base.digest={DIGEST}"
ZERO = "--build-arg SOURCE_DATE_EPOCH=0"
MINE = {"PROJECT_ID": "my-proj", "REGION": "europe-west4", "DOMAIN": "shop.example.com", "TAG": "v7"}


class Machine:
    """A machine with some tools, which record their arguments."""

    def __init__(self, directory: Path) -> None:
        self._bin = directory / "bin"
        self._bin.mkdir()
        self._calls = directory / "calls"
        for tool in ("bash", "sed", "cat", "dirname", "mkdir"):
            self._has(tool, Path(shutil.which(tool)))

    def _has(self, name: str, tool: Path) -> None:
        (self._bin / name).symlink_to(tool)

    def install(self, name: str, also: str = "") -> None:
        """Install a tool that records its arguments, then runs the shell code `also`."""
        tool = self._bin / name
        tool.write_text(f'#!/bin/bash\necho "{name} $*" >>"{self._calls}"\n{also}\n')
        tool.chmod(0o755)

    def run(self, *argv: str, **environ: str) -> subprocess.CompletedProcess[str]:
        environ = {"PATH": str(self._bin), **environ}
        return subprocess.run([*argv], cwd=ROOT, env=environ, capture_output=True, text=True, check=False)

    @property
    def calls(self) -> list[str]:
        return self._calls.read_text().splitlines() if self._calls.exists() else []


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


@pytest.mark.parametrize(
    ("tools", "arguments", "call"),
    [
        (
            {"docker": ""},
            ("build",),
            f"docker build {ZERO} --build-arg BASE={BASE} {NAMED}{NAME} {BY_DIGEST} .",
        ),
        (
            {"podman": ""},
            ("build", "b:1"),
            f"podman build --timestamp 0 --build-arg BASE=b:1 {NAMED}b:1 {LICENSE} .",
        ),
        (
            {"podman": ""},
            ("sbom",),
            "podman run --rm --entrypoint cat r/s/{0}:v7 /app/sbom.cdx.json",
        ),
        ({"docker": "exit 1", "buildah": ""}, ("push",), "buildah push r/s/{0}:v7"),
    ],
    ids=["docker", "podman with another base", "SBOMs", "buildah, as docker has no daemon"],
)
def test_every_image_is_built_pushed_or_listed_by_the_available_tool(
    tools: Mapping[str, str], arguments: tuple[str, ...], call: str, machine: Machine
):
    for name, code in tools.items():
        machine.install(name, code)

    action, *base = arguments
    assert machine.run("deploy/images", action, "r/s", "v7", *base).returncode == 0

    calls = [each for each in machine.calls if not each.startswith("docker info")]
    assert calls == [call.format(name, stage(name)) for name in IMAGES]


def stage(image: str) -> str:
    """Return the options that choose what an image is built of."""
    if image == "sagactl":
        return "--target sagactl"
    return f"--target service --build-arg SERVICE={image.replace('-', '_')}"


def test_failing_build_stops_the_script(machine: Machine):
    machine.install("podman", "exit 3")

    assert machine.run("deploy/images", "build", "reg/saga", "v7").returncode == 3
    assert len(machine.calls) == 1


def test_missing_build_tool_is_an_error(machine: Machine):
    done = machine.run("deploy/images", "build", "reg/saga", "v7")

    assert done.returncode != 0
    assert "needs docker" in done.stderr


@pytest.fixture
def kubectl(machine: Machine) -> None:
    """A kubectl that records its arguments, but really renders."""
    real = shutil.which("kubectl")
    render = f'[ "$1" != kustomize ] || PATH={os.environ["PATH"]} exec {real} "$@"'
    machine.install("kubectl", f'{render}\n[ "$1" != get ] || echo SuccessCriteriaMet Complete')


def images(rendered: str) -> set[str]:
    found = set(re.findall(r"image: (\S+)", rendered))
    return {image for image in found if "cloudsdktool" not in image}


@pytest.mark.usefixtures("kubectl")
@pytest.mark.parametrize(
    ("overlay", "environ", "registry"),
    [
        ("local", {"TAG": "v7"}, "localhost/saga"),
        ("local", {"TAG": "v7", "REGISTRY": "reg/mine"}, "reg/mine"),
        ("gke", MINE, "europe-west4-docker.pkg.dev/my-proj/saga"),
    ],
)
def test_images_have_registry_and_tag(
    overlay: str, environ: Mapping[str, str], registry: str, machine: Machine
):
    done = machine.run("deploy/k8s/apply", overlay, RENDER="1", **environ)

    assert done.returncode == 0, done.stderr
    assert images(done.stdout) == {f"{registry}/{name}:v7" for name in IMAGES}


@pytest.mark.usefixtures("kubectl")
def test_own_values_replace_every_placeholder(machine: Machine):
    authentication = {"AUTH_ISSUER": "https://id.example.com", "AUTH_AUDIENCE": "shop"}

    done = machine.run("deploy/k8s/apply", "gke", RENDER="1", **MINE, **authentication)

    documents = list(yaml.safe_load_all(done.stdout))
    settings = {}
    for document in documents:
        if document["kind"] == "ConfigMap":
            settings |= document["data"]
    assert settings["GOOGLE_CLOUD_PROJECT"] == "my-proj"
    assert settings["EPHEMERAL_PROJECT"] == "my-proj-ephemeral"
    assert settings["AUTH_ISSUER"] == "https://id.example.com"
    assert settings["AUTH_AUDIENCE"] == "shop"
    specs = [document.get("spec", {}) for document in documents]
    assert [spec["hostnames"] for spec in specs if "hostnames" in spec] == [["shop.example.com"]]
    assert not re.search(r"\b(PROJECT_ID|REGION|DOMAIN)\b", done.stdout)


@pytest.mark.usefixtures("kubectl")
@pytest.mark.parametrize(
    ("given", "variable", "default"),
    [
        ("EPHEMERAL_PROJECT_ID", "EPHEMERAL_PROJECT", "my-proj-ephemeral"),
        ("DATASTORE_DATABASE", "DATASTORE_DATABASE", "saga"),
    ],
)
def test_value_can_be_another_one_than_the_default(given: str, variable: str, default: str, machine: Machine):
    """The database is another one after a restore."""
    for environ, expected in ({}, default), ({given: "other"}, "other"):
        done = machine.run("deploy/k8s/apply", "gke", RENDER="1", **environ, **MINE)

        data = [each.get("data") or {} for each in yaml.safe_load_all(done.stdout)]
        assert [each[variable] for each in data if variable in each] == [expected]


@pytest.mark.usefixtures("kubectl")
def test_components_are_added_with_the_images_tag_and_waited_for(machine: Machine):
    both = {"COMPONENTS": "load-generator observability", "TAG": "v7"}

    documents = list(yaml.safe_load_all(machine.run("deploy/k8s/apply", "local", RENDER="1", **both).stdout))
    assert machine.run("deploy/k8s/apply", "local", **both).returncode == 0

    (job,) = (each for each in documents if each["kind"] == "Job")
    assert job["spec"]["template"]["spec"]["containers"][0]["image"] == "localhost/saga/sagactl:v7"
    applied = {each["metadata"]["name"] for each in documents if each["kind"] == "Deployment"}
    waited_for = {call.rpartition("/")[2] for call in machine.calls if " rollout " in call}
    assert {"collector", "jaeger", "prometheus", "grafana"} < waited_for == applied


@pytest.mark.usefixtures("kubectl")
@pytest.mark.parametrize(
    ("overlay", "components"), [("local", "load-generators"), ("local", "../base"), ("gke", "load-generator")]
)
def test_unknown_component_is_an_error_before_anything_is_applied(
    overlay: str, components: str, machine: Machine
):
    done = machine.run("deploy/k8s/apply", overlay, COMPONENTS=components, **MINE)

    assert done.returncode == 2
    assert f'COMPONENTS has "{components}"' in done.stderr
    assert machine.calls == []


SERVED = [f"deployment/{name}" for name in IMAGES if name != "sagactl"]


@pytest.mark.usefixtures("kubectl")
@pytest.mark.parametrize(
    ("overlay", "waited_for"),
    [
        ("gke", ["job/provision", *SERVED]),
        (
            "local",
            ["deployment/firestore", "deployment/pubsub", "deployment/provision", *SERVED, "deployment/seed"],
        ),
    ],
)
def test_deploy_replaces_jobs_applies_and_waits_for_everything(
    overlay: str, waited_for: list[str], machine: Machine
):
    assert machine.run("deploy/k8s/apply", overlay, **MINE).returncode == 0

    first, second, *waits = machine.calls
    jobs = "app.kubernetes.io/part-of=saga,app.kubernetes.io/name!=audit"
    assert first == f"kubectl delete job --namespace saga --selector {jobs} --ignore-not-found"
    assert second == f"kubectl apply -k build/deploy/{overlay}"
    assert [call.split()[-1] for call in waits] == waited_for
    # A CronJob does nothing until its time has come.
    workloads = (each for each in rendered(overlay).workloads if each.kind != "CronJob")
    applied = {(each.kind.lower(), each.name) for each in workloads}
    assert {tuple(each.split("/")) for each in waited_for} == applied


def test_failed_provisioning_ends_the_deployment_at_once(machine: Machine):
    """Known fault: it waited for the Job to be complete, until the timeout."""
    machine.install("kubectl", '[ "$1" != get ] || echo FailureTarget Failed')

    done = machine.run("deploy/k8s/apply", "gke", **MINE)

    assert done.returncode == 2
    assert "kubectl -n saga logs job/provision" in done.stderr
    assert machine.calls[-1].endswith(" job/provision")


def test_deployment_waits_while_provisioning_has_not_ended(machine: Machine):
    machine.install("kubectl", '[ "$1" != get ] || [ ! -e "${0%/*}/slept" ] || echo Complete')
    machine.install("sleep", ': >"${0%/*}/slept"')

    assert machine.run("deploy/k8s/apply", "gke", **MINE).returncode == 0

    get = "kubectl get --namespace saga"
    waited = [call for call in machine.calls if call.startswith((get, "sleep"))]
    assert [call.split()[0] for call in waited] == ["kubectl", "sleep", "kubectl"]


@pytest.mark.usefixtures("kubectl")
@pytest.mark.parametrize("missing", ["PROJECT_ID", "REGION", "DOMAIN"])
def test_gke_settings_are_required_before_anything_is_applied(missing: str, machine: Machine):
    done = machine.run("deploy/k8s/apply", "gke", **{**MINE, missing: ""})

    assert done.returncode == 2
    assert missing in done.stderr
    assert machine.calls == []


@pytest.mark.usefixtures("kubectl")
def test_unknown_overlay_is_an_error(machine: Machine):
    assert "OVERLAY must be local or gke" in machine.run("deploy/k8s/apply", "embedded").stderr
