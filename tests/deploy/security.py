"""The restricted Pod Security Standard, and the suite's additions to it."""

from collections.abc import Iterator

from tests.support.manifests import Container, Manifests, Workload

HIGH_UID = 10_000
"""Lower ids may belong to a user of the node."""


def check(manifests: Manifests) -> Iterator[str]:
    for workload in manifests.workloads:
        for problem in _pod(workload):
            yield f"{workload.name}: {problem}"
        for container in workload.all_containers:
            for problem in _container(container):
                yield f"{workload.name}/{container.name}: {problem}"


def _pod(workload: Workload) -> Iterator[str]:
    context = workload.pod.get("securityContext", {})
    if context.get("runAsNonRoot") is not True or context.get("runAsUser", 0) < HIGH_UID:
        yield "it may run as root, or as a user of the node"
    if context.get("seccompProfile", {}).get("type") != "RuntimeDefault":
        yield "no seccomp profile"
    if any(workload.pod.get(name) for name in ("hostNetwork", "hostPID", "hostIPC")):
        yield "it shares the node's namespaces"
    if workload.pod.get("automountServiceAccountToken") is not False:
        yield "it has a token for Kubernetes' API, which it does not use"
    if workload.pod.get("enableServiceLinks") is not False:
        yield "Services add variables to its environment"
    for volume in workload.pod.get("volumes", ()):
        if volume.keys() == {"name", "configMap"}:
            continue
        if "emptyDir" not in volume or "sizeLimit" not in volume["emptyDir"]:
            yield f"volume {volume['name']} is neither an emptyDir with a limit nor a ConfigMap"


def _container(container: Container) -> Iterator[str]:
    context = container.spec.get("securityContext", {})
    if context.get("readOnlyRootFilesystem") is not True:
        yield "its root file system is writable"
    if context.get("allowPrivilegeEscalation") is not False or context.get("privileged"):
        yield "it can gain privileges"
    if context.get("capabilities") != {"drop": ["ALL"]}:
        yield "it has capabilities"
    if "runAsUser" in context or "runAsNonRoot" in context:
        yield "it overrides the pod's user"
    resources = container.spec.get("resources", {})
    for kind in ("requests", "limits"):
        if not {"cpu", "memory"} <= resources.get(kind, {}).keys():
            yield f"no {kind} of cpu and memory"
    image = container.spec["image"]
    if ":" not in image.rpartition("/")[2] or image.endswith(":latest"):
        yield f"image {image} has no fixed tag"
    if container.spec.get("imagePullPolicy") != "IfNotPresent":
        yield "images loaded by hand would be pulled"
