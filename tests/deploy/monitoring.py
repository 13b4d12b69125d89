"""Metrics: every process serves them on its configured port, and the PodMonitoring selects all of them."""

from collections.abc import Iterator, Mapping

from contract.topology import TOPOLOGY
from tests.support.manifests import Document, Manifests

PORT_NAME = "metrics"
SERVICE_LABEL = {"from": "app.kubernetes.io/name", "to": "service"}
"""The label by which rules and dashboards distinguish services."""


def check(manifests: Manifests) -> Iterator[str]:
    measured = {*TOPOLOGY.names, "gateway", *(["audit"] if manifests.overlay == "gke" else [])}
    for workload in manifests.workloads:
        if workload.name in measured:
            yield from _port(workload.name, workload.containers[0].environ, workload.ports)
    monitorings = list(manifests.of("PodMonitoring"))
    if manifests.overlay == "gke" and len(monitorings) != 1:
        yield "there must be exactly one PodMonitoring"
    for monitoring in monitorings:
        yield from _monitoring(manifests, monitoring, measured)


def _port(name: str, environ: Mapping[str, str], ports: dict[str, int]) -> Iterator[str]:
    configured = environ.get("METRICS_PORT")
    if configured is None or ports.get(PORT_NAME) != int(configured):
        yield f"{name} serves metrics at {configured}, but declares {ports.get(PORT_NAME)}"
    if len(set(ports.values())) != len(ports):
        yield f"{name} uses one port twice"


def _monitoring(manifests: Manifests, monitoring: Document, measured: set[str]) -> Iterator[str]:
    spec = monitoring["spec"]
    selected = {workload.name: workload for workload in manifests.selected(spec["selector"])}
    if selected.keys() != measured:
        yield f"PodMonitoring selects {sorted(selected)}"
    for endpoint in spec["endpoints"]:
        for name, workload in selected.items():
            if endpoint["port"] not in workload.ports:
                yield f"PodMonitoring: {name} has no port named {endpoint['port']}"
    if SERVICE_LABEL not in spec.get("targetLabels", {}).get("fromPod", ()):
        yield "PodMonitoring: series have no service label"
