"""Ports: Services, probes, addresses and routes name the ports that processes listen on."""

import re
from collections.abc import Iterator

from tests.support.manifests import Container, Document, Manifests, Workload

ADDRESS = re.compile(r"(?:dns:///|http://)?(?P<host>[a-z][a-z0-9-]*):(?P<port>[0-9]+)")


def check(manifests: Manifests) -> Iterator[str]:
    for service in manifests.of("Service"):
        yield from _service(manifests, service)
    for workload in manifests.workloads:
        for container in workload.all_containers:
            yield from _probes(workload, container)
            yield from _addresses(manifests, workload, container)
            if "PORT" in container.environ and int(container.environ["PORT"]) not in container.ports.values():
                yield f"{workload.name} listens at PORT {container.environ['PORT']}, undeclared"
    for route in manifests.of("HTTPRoute"):
        for rule in route["spec"]["rules"]:
            for backend in rule.get("backendRefs", ()):
                yield from _reachable(manifests, f"HTTPRoute {route['metadata']['name']}", **backend)
        yield from _listener(manifests, route)
    for policy in manifests.of("HealthCheckPolicy"):
        yield from _health_check(manifests, policy)


def _service(manifests: Manifests, service: Document) -> Iterator[str]:
    name = service["metadata"]["name"]
    for workload in manifests.selected({"matchLabels": service["spec"].get("selector")}):
        for port in service["spec"]["ports"]:
            if port.get("targetPort") not in workload.ports:
                yield f"Service {name}: no container has a port named {port.get('targetPort')}"
        grpc = workload.ports.get("grpc")
        if grpc is not None and service["spec"].get("clusterIP") != "None":
            yield f"Service {name} is not headless: one replica would get all calls"
        if grpc is not None and [port["port"] for port in service["spec"]["ports"]] != [grpc]:
            # A headless Service translates no ports.
            yield f"Service {name}: its port differs from that of its pods"


def _probes(workload: Workload, container: Container) -> Iterator[str]:
    for kind in ("startupProbe", "readinessProbe", "livenessProbe"):
        probe = container.spec.get(kind, {})
        port = probe.get("grpc", probe.get("httpGet", {})).get("port")
        if port is not None and port not in {*container.ports, *container.ports.values()}:
            yield f"{workload.name}: {kind} uses port {port}"


def _addresses(manifests: Manifests, workload: Workload, container: Container) -> Iterator[str]:
    for variable, value in container.environ.items():
        address = ADDRESS.fullmatch(value)
        if address is not None:
            where = f"{workload.name}: {variable}"
            yield from _reachable(manifests, where, name=address["host"], port=int(address["port"]))


def _reachable(manifests: Manifests, who: str, name: str, port: int) -> Iterator[str]:
    ports = {
        service["metadata"]["name"]: [each["port"] for each in service["spec"]["ports"]]
        for service in manifests.of("Service")
    }
    if port not in ports.get(name, ()):
        yield f"{who} points to {name}:{port}, which no Service has"


def _listener(manifests: Manifests, route: Document) -> Iterator[str]:
    for parent in route["spec"]["parentRefs"]:
        try:
            gateway = manifests.find("Gateway", parent["name"])
        except KeyError:
            yield f"HTTPRoute {route['metadata']['name']}: no Gateway {parent['name']}"
            continue
        listeners = {listener["name"]: listener for listener in gateway["spec"]["listeners"]}
        listener = listeners.get(parent.get("sectionName"))
        if listener is None:
            yield f"HTTPRoute {route['metadata']['name']}: no listener {parent.get('sectionName')}"
        elif (
            any("backendRefs" in rule for rule in route["spec"]["rules"]) and listener["protocol"] != "HTTPS"
        ):
            yield f"HTTPRoute {route['metadata']['name']} serves without TLS"


def _health_check(manifests: Manifests, policy: Document) -> Iterator[str]:
    check = policy["spec"]["default"]["config"]["httpHealthCheck"]
    for workload in manifests.workloads:
        if workload.name == policy["spec"]["targetRef"]["name"]:
            (container,) = workload.containers
            ready = container.spec.get("readinessProbe", {}).get("httpGet", {}).get("path")
            if check["port"] not in container.ports.values() or check["requestPath"] != ready:
                yield f"HealthCheckPolicy uses {check['port']}{check['requestPath']}, the kubelet {ready}"
            return
    yield "HealthCheckPolicy targets no workload"
