"""Lifecycle: rollouts, evictions, scaling and drains that fail no request."""

import math
from collections.abc import Iterator

from contract.topology import TOPOLOGY
from sagakit.backends.gcp.pubsub import CLOSE_TIMEOUT_SECONDS
from sagakit.grpc.server import MAX_CONNECTION_AGE_SECONDS
from sagakit.messaging import (
    CALLS_DRAIN_TIMEOUT_SECONDS,
    EVENTS_DRAIN_TIMEOUT_SECONDS,
    OUTBOX_DRAIN_TIMEOUT_SECONDS,
)
from sagakit.telemetry.tracing import FLUSH_TIMEOUT_SECONDS
from services.gateway.server import REQUESTS_END_SECONDS
from tests.support.manifests import Document, Manifests, Workload

DNS_SECONDS = 30
"""Maximum age of a cached DNS answer for a headless Service."""
EXIT_SECONDS = 5
"""Time for an idle process to exit, with a margin."""


AGE_JITTER = 1.1
"""gRPC's: by up to a tenth (https://github.com/grpc/proposal/blob/master/A9-server-side-conn-mgt.md)."""
MAX_NEW_REPLICA_SECONDS = 60


MIN_WAIT_SECONDS = 3000
"""Backends, roles, images and nodes may come this late, at least."""

EMULATORS = "google-cloud-cli"
START_SECONDS = {EMULATORS: 15.0}
"""Ordinary start until the startup probe succeeds, 6 s if not listed: an earlier probe is a Warning event."""
READY_SECONDS = {"gateway": 15.0}
"""Ordinary start until it is ready, 8 s if not listed: a gateway waits for services that start with it."""


def check(manifests: Manifests) -> Iterator[str]:
    without_calls = DNS_SECONDS + MAX_CONNECTION_AGE_SECONDS * AGE_JITTER
    if without_calls > MAX_NEW_REPLICA_SECONDS:
        yield f"new replicas may get no calls for {without_calls:.0f} s"
    for name in (*TOPOLOGY.names, "gateway"):
        for workload in manifests.workloads:
            if workload.name == name:
                yield from _rollout(workload)
                yield from _drain(workload)
                yield from _disruption(manifests, workload)
    for workload in manifests.workloads:
        yield from _job(workload)
        yield from _waiting(workload)
        yield from _quiet_start(workload)
        yield from _emulator(workload)


def _rollout(workload: Workload) -> Iterator[str]:
    strategy = workload.spec.get("strategy", {}).get("rollingUpdate", {})
    if strategy.get("maxUnavailable") != 0 or not strategy.get("maxSurge"):
        yield f"{workload.name}: a rollout removes a replica before its successor is ready"
    if not workload.pod.get("topologySpreadConstraints"):
        yield f"{workload.name}: its replicas may all be on one node"


def _drain(workload: Workload) -> Iterator[str]:
    (container,) = workload.containers
    before = container.spec.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
    if before < DNS_SECONDS:
        yield f"{workload.name} stops after {before} s, before clients have resolved its successor"
    delay = float(container.environ.get("DRAIN_DELAY_SECONDS", 0))
    drain = (
        REQUESTS_END_SECONDS
        if workload.name == "gateway"
        else CALLS_DRAIN_TIMEOUT_SECONDS
        + EVENTS_DRAIN_TIMEOUT_SECONDS
        + OUTBOX_DRAIN_TIMEOUT_SECONDS
        + CLOSE_TIMEOUT_SECONDS
    )
    needed = before + delay + drain + FLUSH_TIMEOUT_SECONDS + EXIT_SECONDS
    grace = workload.pod.get("terminationGracePeriodSeconds", 30)
    if grace < needed:
        yield f"{workload.name} is killed after {grace} s, its drain may take {needed:.0f} s"


def _disruption(manifests: Manifests, workload: Workload) -> Iterator[str]:
    budgets = [each["spec"] for each in _of(manifests, "PodDisruptionBudget", workload.name)]
    if len(budgets) != 1:
        yield f"{workload.name} has {len(budgets)} disruption budgets"
    least = workload.spec.get("replicas", 1)
    for autoscaler in _of(manifests, "HorizontalPodAutoscaler", workload.name):
        least = autoscaler["spec"].get("minReplicas", 1)
        if "replicas" in workload.spec:
            yield f"{workload.name}: every apply resets the autoscaler's replicas"
        if least > autoscaler["spec"]["maxReplicas"]:
            yield f"{workload.name}: minReplicas {least} exceeds maxReplicas"
        if not any("cpu" in each.spec["resources"].get("requests", {}) for each in workload.containers):
            yield f"{workload.name}: no CPU request for its CPU target"
    if least < 2:
        yield f"{workload.name} may run with {least} replica"
    for budget in budgets:
        if budget.get("minAvailable", least - budget.get("maxUnavailable", 0)) >= least:
            yield f"{workload.name}: its nodes can never be drained"
        if budget.get("maxUnavailable", 0) >= least:
            yield f"{workload.name}: all its replicas may be evicted at once"


def _of(manifests: Manifests, kind: str, name: str) -> list[Document]:
    return [document for document in manifests.of(kind) if document["metadata"]["name"] == name]


def _job(workload: Workload) -> Iterator[str]:
    if workload.kind == "Job" and "ttlSecondsAfterFinished" not in workload.spec:
        yield f"Job {workload.name} is never deleted, and cannot be applied again with another image"


def _waiting(workload: Workload) -> Iterator[str]:
    for container in workload.all_containers:
        arguments = container.spec.get("args", ())
        if container.program != "sagactl" or "--wait" not in arguments or workload.kind == "CronJob":
            continue
        seconds = float(arguments[arguments.index("--wait") + 1])
        if seconds < MIN_WAIT_SECONDS:
            yield f"{workload.name}: {container.name} gives up after {seconds:.0f} s"
        if seconds >= workload.spec.get("activeDeadlineSeconds", math.inf):
            yield f"{workload.name}: {container.name} is ended while it waits"


def _quiet_start(workload: Workload) -> Iterator[str]:
    for container in workload.containers:
        startup = container.spec.get("startupProbe")
        ordinary = START_SECONDS.get(container.program, 6)
        if startup and startup.get("initialDelaySeconds", 0) < ordinary:
            yield f"{workload.name}: every start is a Warning event, as it is probed before {ordinary} s"
        if workload.name in (*TOPOLOGY.names, "gateway"):
            delay = container.spec.get("readinessProbe", {}).get("initialDelaySeconds", 0)
            if delay < READY_SECONDS.get(workload.name, 8):
                yield f"{workload.name}: it is asked whether it is ready after {delay} s"


def _emulator(workload: Workload) -> Iterator[str]:
    programs = {container.program for container in workload.all_containers}
    if EMULATORS in programs and programs != {EMULATORS}:
        yield f"{workload.name}: an upgrade of the suite replaces the emulator, with all its data"
