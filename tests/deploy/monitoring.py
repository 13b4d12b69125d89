"""Metrics: every process serves them at the port it is told, and whoever collects finds all of them there."""

from collections.abc import Iterator, Mapping

from contract import topology
from tests.support.manifests import Document, Manifests

PORT_NAME = "metrics"
SERVICE_LABEL = {"from": "app.kubernetes.io/name", "to": "service"}
"""What rules and dashboards tell services apart by."""


def check(manifests: Manifests) -> Iterator[str]:
    measured = {*topology.TOPICS, "gateway"}
    for workload in manifests.workloads:
        if workload.name in measured:
            yield from _port(workload.name, workload.containers[0].environ, workload.ports)
    monitorings = list(manifests.of("PodMonitoring"))
    if manifests.overlay == "gke" and len(monitorings) != 1:
        yield "nothing collects metrics, or too much does"
    for monitoring in monitorings:
        yield from _monitoring(manifests, monitoring, measured)


def _port(name: str, environ: Mapping[str, str], ports: dict[str, int]) -> Iterator[str]:
    told = environ.get("METRICS_PORT")
    if told is None or ports.get(PORT_NAME) != int(told):
        yield f"{name} serves metrics at {told}, and says {ports.get(PORT_NAME)}"
    if len(set(ports.values())) != len(ports):
        yield f"{name} serves two things at one port"


def _monitoring(manifests: Manifests, monitoring: Document, measured: set[str]) -> Iterator[str]:
    spec = monitoring["spec"]
    selected = {workload.name: workload for workload in manifests.selected(spec["selector"])}
    if selected.keys() != measured:
        yield f"PodMonitoring selects {sorted(selected)}"
    for endpoint in spec["endpoints"]:
        for name, workload in selected.items():
            if endpoint["port"] not in workload.ports:
                yield f"PodMonitoring: {name} has no port called {endpoint['port']}"
    if SERVICE_LABEL not in spec.get("targetLabels", {}).get("fromPod", ()):
        yield "PodMonitoring: nothing says which service a series is of"
