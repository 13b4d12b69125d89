"""Manifests, compose.yaml and alarms as `make generate` writes them for services of every shape."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from contract.topology import TOPOLOGY
from deploy import generate
from sagakit.topology import Resources, ServiceDeclaration, Topology
from tests.support.manifests import ROOT, Document, kustomize

LISTENER = ServiceDeclaration("stock-keeper", subscribes_to=("stock", "payment"))
SPEAKER = ServiceDeclaration(
    "clock",
    topic="com.example.clock",
    grpc_services=("com.example.service.clock.Clock",),
    environment={"TICKS": "60", "GREETING": "it's: 12 o'clock"},
    resources=Resources(memory_limit="1Gi", cpu_limit="2", max_replicas=3),
)
MORE = replace(TOPOLOGY, services=(*TOPOLOGY.services, LISTENER, SPEAKER))


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of what is written into."""
    shutil.copytree(ROOT / "deploy", tmp_path / "deploy", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "compose.yaml", tmp_path)
    return tmp_path


def rendered(tree: Path, topology: Topology, overlay: str) -> dict[tuple[str, str], Document]:
    generate.write(tree, topology)
    documents = yaml.safe_load_all(kustomize(tree / "deploy/k8s/overlays" / overlay))
    return {(each["kind"], each["metadata"]["name"]): each for each in documents}


def test_services_of_every_shape_are_deployed(tree: Path):
    manifests = rendered(tree, MORE, "gke")

    keeper = manifests["Deployment", "stock-keeper"]["spec"]["template"]["spec"]["containers"][0]
    clock = manifests["Deployment", "clock"]["spec"]["template"]["spec"]["containers"][0]
    assert keeper["image"] == "REGION-docker.pkg.dev/PROJECT_ID/saga/stock-keeper:dev"
    assert keeper["readinessProbe"]["grpc"] == {"port": 50051}
    assert clock["readinessProbe"]["grpc"]["service"] == "com.example.service.clock.Clock"
    assert clock["resources"]["limits"] == {"cpu": "2", "memory": "1Gi"}
    assert keeper["resources"]["limits"] == {"cpu": "1", "memory": "512Mi"}
    scaled = {name: manifests["HorizontalPodAutoscaler", name]["spec"] for name in ("stock-keeper", "clock")}
    assert {name: spec["maxReplicas"] for name, spec in scaled.items()} == {"stock-keeper": 10, "clock": 3}
    assert {name: len(spec["metrics"]) for name, spec in scaled.items()} == {"stock-keeper": 3, "clock": 1}
    assert "ingress" not in manifests["NetworkPolicy", "stock-keeper"]["spec"]
    (gateway,) = manifests["NetworkPolicy", "gateway"]["spec"]["egress"][0]["to"]
    (called,) = gateway["podSelector"]["matchExpressions"]
    assert called["values"] == ["purchase", "stock", "payment", "delivery", "clock"]


def test_variables_of_a_service_reach_its_process(tree: Path):
    manifests = rendered(tree, MORE, "local")

    data = [each["data"] for (kind, name), each in manifests.items() if name.startswith("clock-")]
    assert data == [MORE.environ("clock")]
    compose = yaml.safe_load((tree / "compose.yaml").read_text())["services"]
    assert compose["clock"]["environment"].items() >= MORE.environ("clock").items()
    assert compose["stock-keeper"]["build"]["args"] == {"SERVICE": "stock_keeper"}
    assert compose["gateway"]["environment"]["CLOCK_ADDRESS"] == "dns:///clock:50051"
    assert "STOCK_KEEPER_ADDRESS" not in compose["gateway"]["environment"]


def test_removed_service_leaves_nothing(tree: Path):
    before = {file: file.read_text() for file in tree.rglob("*") if file.is_file()}

    generate.write(tree, MORE)
    more = {file for file in tree.rglob("*") if file.is_file()}
    generate.write(tree, TOPOLOGY)

    assert len(more) == len(before) + 3  # two kustomizations, one backlog
    assert {file: file.read_text() for file in tree.rglob("*") if file.is_file()} == before


def test_service_that_was_never_scraped_counts_as_down(tree: Path):
    generate.write(tree, MORE)

    services = "|".join((*MORE.names, "gateway"))
    for file in (generate.RULES, generate.GKE_RULES):
        assert f'7 - (count(count by (service) (up{{service=~"{services}"}}' in (tree / file).read_text()


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("values: [purchase] # generated: services", "no list of two names"),
        ("# generated: nonsense\n# end", "nonsense"),
    ],
)
def test_place_that_cannot_be_filled_is_an_error(line: str, error: str):
    with pytest.raises((ValueError, KeyError), match=error):
        generate.filled(f"{line}\n", TOPOLOGY)
