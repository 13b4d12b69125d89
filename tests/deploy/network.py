"""NetworkPolicies allow exactly the connections of the call graph."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from contract.topology import TOPOLOGY
from tests.support.manifests import Document, Manifests, Workload, selects

GRPC, HTTP, METRICS, OTLP = 50051, 8080, 9464, 4317
Direction = Literal["ingress", "egress"]


@dataclass(frozen=True, slots=True)
class Edge:
    """An allowed connection between workloads or address ranges."""

    source: str
    target: str
    port: int


ANYWHERE = "0.0.0.0/0"
PUBLIC = "public/addresses"
PRIVATE = {"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "100.64.0.0/10"}
DNS = "kube-dns"
COLLECTORS = ("gmp-system", "gke-gmp-system")
"""The namespaces of Google's managed collection: the second on Autopilot."""
NAMESPACE = "namespace/"
METADATA = (("169.254.169.254/32", 80), ("169.254.169.252/32", 988))
MEASURED = (*TOPOLOGY.names, "gateway")
COMPONENTS = {
    "load-generator": {Edge("load-generator", "gateway", HTTP)},
    "collector": {Edge("collector", "jaeger", OTLP), *(Edge(each, "collector", OTLP) for each in MEASURED)},
    "prometheus": {Edge("prometheus", each, METRICS) for each in MEASURED},
    "grafana": {Edge("grafana", "prometheus", 9090), Edge("grafana", "jaeger", 16686)},
}
"""Further connections, for each workload of a component."""


def call_graph(overlay: str) -> set[Edge]:
    """Return all needed connections: the gateway uses services and broker, these use both backends."""
    calls = {Edge("gateway", service, GRPC) for service in TOPOLOGY.grpc_services}
    clients: tuple[str, ...] = (*TOPOLOGY.names, "gateway")
    if overlay == "local":
        calls |= {Edge(service, "firestore", 8081) for service in TOPOLOGY.names}
        calls |= {Edge(client, "pubsub", 8085) for client in (*clients, "provision")}
        return calls | {Edge("seed", "stock", GRPC), Edge(ANYWHERE, "gateway", HTTP)}
    clients += ("provision", "audit")
    calls |= {Edge(client, "199.36.153.8/30", 443) for client in clients}
    calls |= {Edge(client, address, port) for client in clients for address, port in METADATA}
    calls |= {Edge(client, PUBLIC, 443) for client in (*TOPOLOGY.names, "gateway")}
    served = (*TOPOLOGY.names, "gateway", "audit")
    calls |= {Edge(NAMESPACE + each, service, METRICS) for each in COLLECTORS for service in served}
    return calls | {Edge(cidr, "gateway", HTTP) for cidr in ("35.191.0.0/16", "130.211.0.0/22")}


def check(manifests: Manifests) -> Iterator[str]:
    wanted = call_graph(manifests.overlay)
    for workload in manifests.workloads:
        wanted |= COMPONENTS.get(workload.name, set())
    for side, allowed, needed in (
        ("from", _outgoing(manifests), {edge for edge in wanted if "/" not in edge.source}),
        ("to", _incoming(manifests), {edge for edge in wanted if "/" not in edge.target}),
    ):
        for edge in sorted(needed - allowed, key=str):
            yield f"{edge.source} cannot call {edge.target}:{edge.port}, by the policies {side} it"
        for edge in sorted(allowed - needed, key=str):
            yield f"{edge.source} may call {edge.target}:{edge.port}, by the policies {side} it"
    if not any(_denies_everything(policy["spec"]) for policy in manifests.of("NetworkPolicy")):
        yield "pods without a policy are not isolated"
    for workload in manifests.workloads:
        if not _resolves_names(manifests, workload):
            yield f"{workload.name} cannot resolve names"


def _outgoing(manifests: Manifests) -> set[Edge]:
    """Return what the callers' policies allow, except DNS."""
    return {
        Edge(source.name, target, port)
        for source in manifests.workloads
        for target, port in _opened(manifests, source, "egress")
        if port != 53
    }


def _incoming(manifests: Manifests) -> set[Edge]:
    """Return what the callees' policies allow."""
    return {
        Edge(source, target.name, port)
        for target in manifests.workloads
        for source, port in _opened(manifests, target, "ingress")
    }


def _denies_everything(policy: Document) -> bool:
    return policy == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}


def _opened(manifests: Manifests, workload: Workload, direction: Direction) -> set[tuple[str, int]]:
    """Return the peers that a workload's policies allow in that direction, with their ports."""
    rules = [
        rule for policy in _selecting(manifests, workload) for rule in policy["spec"].get(direction) or ()
    ]
    return {
        (peer, port["port"])
        for rule in rules
        for peer in _peers(manifests, rule.get("from" if direction == "ingress" else "to"))
        for port in rule.get("ports") or ({"port": 0},)
    }


def _peers(manifests: Manifests, peers: Iterable[Document] | None) -> Iterator[str]:
    if peers is None:
        yield ANYWHERE
    for peer in peers or ():
        if "ipBlock" in peer:
            block = peer["ipBlock"]
            yield PUBLIC if set(block.get("except", ())) == PRIVATE else block["cidr"]
        elif "namespaceSelector" in peer:
            yield from (NAMESPACE + name for name in _namespaces(peer["namespaceSelector"]))
        else:
            yield from (workload.name for workload in manifests.selected(peer["podSelector"]))


def _namespaces(selector: Document) -> list[str]:
    """Return the namespaces selected by name; "*" for any other selector."""
    match selector:
        case {"matchLabels": {"kubernetes.io/metadata.name": name}}:
            return [name]
        case {
            "matchExpressions": [{"key": "kubernetes.io/metadata.name", "operator": "In", "values": names}]
        }:
            return list(names)
        case _:
            return ["*"]


def _selecting(manifests: Manifests, workload: Workload) -> list[Document]:
    policies = manifests.of("NetworkPolicy")
    return [policy for policy in policies if selects(policy["spec"]["podSelector"], workload.labels)]


def _resolves_names(manifests: Manifests, workload: Workload) -> bool:
    """Check that both protocols are allowed to the pods with the label that all distributions use."""
    for policy in _selecting(manifests, workload):
        for rule in policy["spec"].get("egress") or ():
            protocols = {port["protocol"] for port in rule.get("ports") or () if port["port"] == 53}
            labels = [peer.get("podSelector", {}).get("matchLabels") for peer in rule.get("to") or ()]
            if protocols == {"UDP", "TCP"} and {"k8s-app": DNS} in labels:
                return True
    return False
