"""Names defined in the code: gRPC services, paths, topics, subscriptions."""

from collections.abc import Iterator
from functools import cache

from contract.topology import TOPOLOGY
from sagakit.bus import subscription_name
from services.gateway.app import Lifecycle, create_app
from services.gateway.clients import Clients
from tests.support.manifests import Container, Document, Manifests

BACKLOG = "pubsub.googleapis.com|subscription|num_undelivered_messages"


def check(manifests: Manifests) -> Iterator[str]:
    programs = {
        workload.name: container
        for workload in manifests.workloads
        for container in workload.containers
        if workload.name in (*TOPOLOGY.names, "gateway")
    }
    for missing in {*TOPOLOGY.names, "gateway"} - programs.keys():
        yield f"{missing} is not deployed"
    for name, container in programs.items():
        if container.program != name:
            yield f"{name} runs the image of {container.program}"
        yield from _probes(name, container)
        if name in TOPOLOGY.names:
            yield from topics(name, container)
    yield from _provisioning(manifests)
    if manifests.overlay == "gke":
        for autoscaler in manifests.of("HorizontalPodAutoscaler"):
            yield from _backlog(autoscaler)


def _probes(name: str, container: Container) -> Iterator[str]:
    for kind in ("startupProbe", "readinessProbe", "livenessProbe"):
        probe = container.spec.get(kind)
        if probe is None:
            yield f"{name} has no {kind}"
        elif name == "gateway":
            wanted = "/readyz" if kind == "readinessProbe" else "/healthz"
            path = probe.get("httpGet", {}).get("path")
            if path != wanted or path not in _gateway_paths():
                yield f"gateway: {kind} uses {path}"
        else:
            wanted = TOPOLOGY.grpc_services.get(name) if kind == "readinessProbe" else None
            if "grpc" not in probe or probe["grpc"].get("service") != wanted:
                yield f"{name}: {kind} uses {probe.get('grpc')}"


@cache
def _gateway_paths() -> set[str]:
    app = create_app(Clients({}, 1), Lifecycle())
    return set(app.openapi()["paths"])


def topics(name: str, container: Container) -> Iterator[str]:
    wanted = TOPOLOGY.environ(name)
    for variable, value in wanted.items():
        if container.environ.get(variable) != value:
            yield f"{name}: {variable} is {container.environ.get(variable)}, not {value}"


def _provisioning(manifests: Manifests) -> Iterator[str]:
    """A Job creates the topics; for the emulator, which loses them, a Deployment of its own does."""
    provisioning = [
        (workload, container)
        for workload in manifests.workloads
        for container in workload.containers
        if container.program == "sagactl" and container.spec.get("args", [""])[0] == "provision"
    ]
    if [workload.name for workload, _ in provisioning] != ["provision"]:
        yield "there must be exactly one provisioner"
    for workload, container in provisioning:
        if workload.kind != ("Job" if manifests.overlay == "gke" else "Deployment"):
            yield f"the provisioner is a {workload.kind}"
        elif workload.kind == "Deployment" and "--interval" not in container.spec["args"]:
            yield "the emulator's topics are not created again after a restart"
    if manifests.overlay == "local":
        yield from _seeding(manifests)


def _seeding(manifests: Manifests) -> Iterator[str]:
    """The rollout of `seed` is complete when the catalogue is written, and it is written again when lost."""
    for workload in manifests.workloads:
        if workload.name == "seed":
            arguments = [each.spec["args"][:2] for each in workload.all_containers]
            if workload.kind != "Deployment" or arguments != [["seed", "--wait"], ["seed", "--interval"]]:
                yield f"the catalogue is written by a {workload.kind} with {arguments}"
            return
    yield "nothing writes the catalogue"


def _backlog(autoscaler: Document) -> Iterator[str]:
    name = autoscaler["metadata"]["name"]
    if name not in TOPOLOGY.names:
        return
    metrics = [
        each["external"]["metric"] for each in autoscaler["spec"]["metrics"] if each["type"] == "External"
    ]
    watched = {metric["selector"]["matchLabels"].get("resource.labels.subscription_id") for metric in metrics}
    wanted = {subscription_name(name, topic) for topic in TOPOLOGY.subscribed_topics(name)}
    if watched != wanted or {metric["name"] for metric in metrics} - {BACKLOG}:
        yield f"{name} is not scaled by its own backlog: {sorted(map(str, watched))}"
