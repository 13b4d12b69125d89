"""Labels, selectors and names: every reference selects exactly its target."""

from collections.abc import Iterator

from tests.support.manifests import Document, Manifests, Workload


def check(manifests: Manifests) -> Iterator[str]:
    names = [(document["kind"], document["metadata"]["name"]) for document in manifests.documents]
    for kind, name in {each for each in names if names.count(each) > 1}:
        yield f"{kind} {name} exists twice"
    yield from _namespaces(manifests)
    for workload in manifests.workloads:
        yield from _workload(manifests, workload)
    for document in manifests.of("Service"):
        yield from _selects_one(manifests, document, {"matchLabels": document["spec"].get("selector")})
    for document in manifests.of("PodDisruptionBudget"):
        yield from _selects_one(manifests, document, document["spec"].get("selector"))
    for document in manifests.of("HorizontalPodAutoscaler"):
        target = document["spec"]["scaleTargetRef"]
        if (target["kind"], target["name"]) not in names or target["name"] != document["metadata"]["name"]:
            yield f"HorizontalPodAutoscaler {document['metadata']['name']} scales {target['name']}"
    for document in manifests.of("NetworkPolicy"):
        if not manifests.selected(document["spec"]["podSelector"]):
            yield f"NetworkPolicy {document['metadata']['name']} selects nothing"


def _namespaces(manifests: Manifests) -> Iterator[str]:
    (namespace,) = manifests.of("Namespace")
    for document in manifests.documents:
        metadata = document["metadata"]
        if document is not namespace and metadata.get("namespace") != namespace["metadata"]["name"]:
            yield f"{document['kind']} {metadata['name']} is in namespace {metadata.get('namespace')}"
    if namespace["metadata"]["labels"].get("pod-security.kubernetes.io/enforce") != "restricted":
        yield "the namespace does not enforce the restricted Pod Security Standard"


def _workload(manifests: Manifests, workload: Workload) -> Iterator[str]:
    if workload.labels.get("app.kubernetes.io/name") != workload.name:
        yield f"{workload.name}: its pods are labelled {dict(workload.labels)}"
    if workload.kind == "Deployment" and manifests.selected(workload.spec["selector"]) != [workload]:
        yield f"Deployment {workload.name} does not select its own pods, or others as well"
    for constraint in workload.pod.get("topologySpreadConstraints", ()):
        if manifests.selected(constraint.get("labelSelector")) != [workload]:
            yield f"{workload.name}: a topology spread constraint counts other pods"
    account = workload.pod.get("serviceAccountName")
    accounts = [document["metadata"]["name"] for document in manifests.of("ServiceAccount")]
    if account is not None and (account not in accounts or account != workload.name):
        yield f"{workload.name} runs as ServiceAccount {account}"


def _selects_one(manifests: Manifests, document: Document, selector: Document) -> Iterator[str]:
    name = document["metadata"]["name"].removesuffix("-metrics")
    selected = [workload.name for workload in manifests.selected(selector)]
    if selected != [name]:
        yield f"{document['kind']} {name} selects the pods of {selected}"
