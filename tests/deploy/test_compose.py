"""compose.yaml configures every process as its settings require and as the manifests do."""

import re
from pathlib import Path

import pytest
import yaml

from contract.topology import TOPOLOGY
from tests.deploy import components, contracts
from tests.deploy.environment import problems_of
from tests.deploy.ports import ADDRESS
from tests.support.manifests import ROOT, Container, rendered

COMPOSE = yaml.safe_load((ROOT / "compose.yaml").read_text())
SERVICES = COMPOSE["services"]
OURS = sorted(name for name, service in SERVICES.items() if "build" in service)
OBSERVABILITY = sorted(name for name, each in SERVICES.items() if each.get("profiles") == ["observability"])
LISTENING = {"firestore": 8081, "pubsub": 8085} | {
    name: int(SERVICES[name]["environment"]["PORT"]) for name in (*TOPOLOGY.names, "gateway")
}


def container(name: str) -> Container:
    service = SERVICES[name]
    build = service["build"]
    image = build.get("args", {}).get("SERVICE", build["target"]).replace("_", "-")
    spec = {"image": f"{image}:dev", "args": service.get("command", [])}
    return Container(name, spec, service["environment"])


@pytest.mark.parametrize("name", OURS)
def test_environment_is_valid_for_the_process(name: str):
    assert list(problems_of("local", container(name))) == []


@pytest.mark.parametrize("name", OURS)
def test_addresses_lead_to_listening_processes(name: str):
    for variable, value in SERVICES[name]["environment"].items():
        address = ADDRESS.fullmatch(value)
        assert address is None or LISTENING[address["host"]] == int(address["port"]), variable


@pytest.mark.parametrize("name", TOPOLOGY.names)
def test_service_has_the_topics_of_the_topology(name: str):
    assert list(contracts.topics(name, container(name))) == []


@pytest.mark.parametrize("name", OURS)
def test_build_target_is_a_stage_of_the_dockerfile(name: str):
    stages = re.findall(r"^FROM \S+ AS (\S+)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)

    assert SERVICES[name]["build"]["target"] in stages


@pytest.mark.parametrize("name", ["firestore", "pubsub"])
def test_emulator_is_the_same_as_in_the_cluster(name: str):
    (workload,) = (each for each in rendered("local").workloads if each.name == name)
    in_cluster = workload.containers[0].spec

    assert SERVICES[name]["image"] == in_cluster["image"]
    assert SERVICES[name]["command"].split() == [*in_cluster["command"], *in_cluster["args"]]


@pytest.mark.parametrize("name", ["firestore", "pubsub"])
def test_emulator_runs_as_in_the_cluster(name: str):
    (workload,) = (each for each in rendered("local").workloads if each.name == name)
    context = workload.pod["securityContext"]

    assert SERVICES[name]["user"] == f"{context['runAsUser']}:{context['runAsGroup']}"
    in_cluster = {each["name"]: each["value"] for each in workload.containers[0].spec["env"]}
    assert SERVICES[name]["environment"].items() <= in_cluster.items()


def test_profile_has_the_workloads_of_the_component():
    assert OBSERVABILITY == ["collector", "grafana", "jaeger", "prometheus"]


@pytest.mark.parametrize("name", OBSERVABILITY)
def test_process_of_the_profile_is_configured_as_in_the_cluster(name: str):
    service = SERVICES[name]
    (workload,) = (each for each in rendered("components").workloads if each.name == name)
    in_cluster = workload.containers[0]
    context = workload.pod["securityContext"]

    assert service["image"] == in_cluster.spec["image"]
    assert service.get("command", []) == in_cluster.spec.get("args", [])
    assert service.get("environment", {}) == in_cluster.environ
    assert service["user"] == f"{context['runAsUser']}:{context['runAsGroup']}"
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ()))
    mounted = dict(each.removesuffix(":ro").split(":") for each in service.get("volumes", ()))
    files = {
        str(Path(target) / path.relative_to(ROOT / source)): path.read_text()
        for source, target in mounted.items()
        for path in ([ROOT / source] if (ROOT / source).is_file() else (ROOT / source).iterdir())
    }
    assert files == components.mounted(rendered("components"), workload)


def test_prometheus_finds_every_process_by_a_name_of_the_network():
    (scraping,) = yaml.safe_load((ROOT / "deploy/monitoring/prometheus.yaml").read_text())["scrape_configs"]
    (discovery,) = scraping["dns_sd_configs"]
    aliases = {
        alias
        for service in SERVICES.values()
        for network in service.get("networks", {}).values()
        for alias in network["aliases"]
    }

    assert set(discovery["names"]) <= SERVICES.keys() | aliases
    for name in (*TOPOLOGY.names, "gateway"):
        assert SERVICES[name]["environment"]["METRICS_PORT"] == str(discovery["port"])


@pytest.mark.parametrize("name", SERVICES)
def test_process_is_as_unprivileged_as_in_the_cluster(name: str):
    service = SERVICES[name]

    assert service["read_only"] is True
    assert service["tmpfs"] == ["/tmp"]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]


def test_dependencies_exist():
    for service in SERVICES.values():
        assert set(service.get("depends_on", ())) <= SERVICES.keys()
