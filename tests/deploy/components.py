"""Components: their configuration agrees with itself, the manifests, and what the processes serve."""

import json
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

import yaml

from contract.topology import TOPOLOGY
from tests.support.manifests import COMPONENTS, Document, Manifests, Workload, rendered

COMPONENT = "app.kubernetes.io/component"
"""The label by which docs/deploy.md deletes what a component has added."""
GRAFANA = "/etc/grafana/provisioning"


def check(manifests: Manifests) -> Iterator[str]:
    for document in added(manifests):
        if document["metadata"].get("labels", {}).get(COMPONENT) not in COMPONENTS:
            yield f"{document['kind']} {document['metadata']['name']} stays when its component is removed"
    for workload in manifests.workloads:
        for path, data in mounted(manifests, workload).items():
            if not data:
                yield f"{workload.name}: nothing is mounted at {path}"
        found = PROBLEMS.get(workload.name)
        if found is not None:
            yield from (f"{workload.name}: {each}" for each in found(manifests, workload))


def added(manifests: Manifests) -> Iterator[Document]:
    """Return the objects that the overlay without components does not have."""
    known = {_identity(each) for each in rendered(manifests.overlay).documents}
    return (each for each in manifests.documents if _identity(each) not in known)


def _identity(document: Document) -> tuple[str, str]:
    """Return the kind and the name, of a ConfigMap without the hash of its contents."""
    kind, name = document["kind"], document["metadata"]["name"]
    return kind, name.rpartition("-")[0] if kind == "ConfigMap" else name


def _load_generator(manifests: Manifests, workload: Workload) -> Iterator[str]:
    arguments = workload.containers[0].spec["args"]
    yield from _unreachable(manifests, arguments[arguments.index("--gateway") + 1])


def _collector(manifests: Manifests, workload: Workload) -> Iterator[str]:
    config = _named_by(manifests, workload, "--config=")
    yield from collector_problems(config)
    exported = config["exporters"]["otlp_grpc"]["endpoint"]
    yield from _unreachable(manifests, f"http://{exported}")
    listening = [config["receivers"]["otlp"]["protocols"]["grpc"], config["extensions"]["health_check"]]
    ports = [f"0.0.0.0:{port}" for port in workload.containers[0].ports.values()]
    if [each["endpoint"] for each in listening] != ports:
        yield f"it does not listen at its ports {ports}"
    for name in (*TOPOLOGY.names, "gateway"):
        (process,) = (each for each in manifests.workloads if each.name == name)
        if process.containers[0].environ.get("OTEL_EXPORTER_OTLP_ENDPOINT") != "http://collector:4317":
            yield f"{name} exports its traces elsewhere"


def collector_problems(config: Mapping[str, Any]) -> Iterator[str]:
    """Yield what a collector would reject, as far as it is a matter of structure."""
    service = config["service"]
    used = {kind: set() for kind in ("receivers", "processors", "exporters")}
    for pipeline in service["pipelines"].values():
        for kind, names in used.items():
            names |= set(pipeline[kind])
    for kind, names in {**used, "extensions": set(service["extensions"])}.items():
        if names != config[kind].keys():
            yield f"its {kind} are {sorted(config[kind])}, its pipelines use {sorted(names)}"
    processors = service["pipelines"]["traces"]["processors"]
    if processors[0] != "memory_limiter":
        yield f"its processors are in the order {processors}"


def _prometheus(manifests: Manifests, workload: Workload) -> Iterator[str]:
    config = _named_by(manifests, workload, "--config.file=")
    files = mounted(manifests, workload)
    for name in config["rule_files"]:
        if f"/etc/prometheus/{name}" not in files:
            yield f"there are no rules at {name}"
    (discovery,) = config["scrape_configs"][0]["dns_sd_configs"]
    if {name.removesuffix("-metrics") for name in discovery["names"]} != {*TOPOLOGY.names, "gateway"}:
        yield f"it scrapes {discovery['names']}"
    for name in discovery["names"]:
        (scraped,) = manifests.selected({"matchLabels": manifests.find("Service", name)["spec"]["selector"]})
        if manifests.find("Service", name)["spec"].get("clusterIP") != "None":
            yield f"{name} has one address for all pods"
        if scraped.ports.get("metrics") != discovery["port"]:
            yield f"{name} serves its metrics at {scraped.ports.get('metrics')}"


def _grafana(manifests: Manifests, workload: Workload) -> Iterator[str]:
    files = mounted(manifests, workload)
    sources = yaml.safe_load(files[f"{GRAFANA}/datasources/datasources.yaml"])["datasources"]
    for source in sources:
        yield from _unreachable(manifests, source["url"])
    (provider,) = yaml.safe_load(files[f"{GRAFANA}/dashboards/dashboards.yaml"])["providers"]
    directory = provider["options"]["path"]
    dashboards = [json.loads(text) for path, text in files.items() if path.startswith(f"{directory}/")]
    if sorted(each["uid"] for each in dashboards) != ["saga-calls", "saga-events", "saga-orders"]:
        yield f"its dashboards are {[each['uid'] for each in dashboards]}"
    if [source["type"] for source in sources if source.get("isDefault")] != ["prometheus"]:
        yield "dashboards have no default data source"


PROBLEMS = {
    "load-generator": _load_generator,
    "collector": _collector,
    "prometheus": _prometheus,
    "grafana": _grafana,
}


def _named_by(manifests: Manifests, workload: Workload, option: str) -> Any:
    """Return the configuration that an argument names. Raises KeyError if it is not mounted."""
    (path,) = (each for each in workload.containers[0].spec["args"] if each.startswith(option))
    return yaml.safe_load(mounted(manifests, workload)[path.removeprefix(option)])


def mounted(manifests: Manifests, workload: Workload) -> dict[str, str]:
    """Return the files that are mounted from ConfigMaps, by path. Raises KeyError if one does not exist."""
    volumes = {each["name"]: each for each in workload.pod.get("volumes", ())}
    files: dict[str, str] = {}
    for mount in workload.containers[0].spec.get("volumeMounts", ()):
        volume = volumes[mount["name"]]
        if "configMap" in volume:
            data = manifests.find("ConfigMap", volume["configMap"]["name"])["data"]
            path, key = mount["mountPath"], mount.get("subPath")
            files |= {path: data[key]} if key else {f"{path}/{name}": text for name, text in data.items()}
    return files


def _unreachable(manifests: Manifests, url: str) -> Iterator[str]:
    """Yield that no Service has the URL's name and port."""
    parts = urlsplit(url)
    services = {each["metadata"]["name"]: each["spec"]["ports"] for each in manifests.of("Service")}
    if (parts.port or 80) not in [port["port"] for port in services.get(parts.hostname or "", ())]:
        yield f"no Service is at {url}"
