"""Text of manifests, compose.yaml and alarms for each service."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, replace

from sagakit.bus import subscription_name
from sagakit.topology import DEFAULT_RESOURCES, Resources, ServiceDeclaration, Topology

REGISTRY = "REGION-docker.pkg.dev/PROJECT_ID/saga"
"""Filled in by deploy/k8s/apply."""
_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_=.,:/-]*")
_KUSTOMIZATION = """\
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
resources:
  - ../service
labels:
  - pairs:
      app.kubernetes.io/name: {name}
    includeSelectors: true
images:
  - name: service
    newName: localhost/saga/{name}
    newTag: dev
configMapGenerator:
  - name: {name}
    literals:
{literals}
patches:
  - target:
      name: service
    options:
      allowNameChange: true
    patch: |-
      - {{op: replace, path: /metadata/name, value: {name}}}
  - target:
      kind: HorizontalPodAutoscaler
    patch: |-
      - {{op: replace, path: /spec/scaleTargetRef/name, value: {name}}}
{autoscaler}  - target:
      kind: Deployment
    patch: |-
      - {{op: replace, path: /spec/template/spec/serviceAccountName, value: {name}}}
      - {{op: replace, path: /spec/template/spec/containers/0/name, value: {name}}}
      - {{op: replace, path: /spec/template/spec/containers/0/envFrom/1/configMapRef/name, value: {name}}}
{deployment}"""
_PROBE = """\
      - op: replace
        path: /spec/template/spec/containers/0/readinessProbe/grpc/service
        value: {service}
"""
_NO_GRPC = """\
      - {op: remove, path: /spec/template/spec/containers/0/readinessProbe/grpc/service}
  # The gateway does not call it.
  - target:
      kind: NetworkPolicy
    patch: |-
      - {op: remove, path: /spec/ingress}
"""
_RESOURCES = """\
      - op: replace
        path: /spec/template/spec/containers/0/resources
        value:
          requests: {{cpu: {cpu_request}, memory: {memory_request}}}
          limits: {{cpu: {cpu_limit}, memory: {memory_limit}}}
"""
_BACKLOG = """\
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata:
  name: {name}
spec:
  metrics:
    - type: Resource
      resource:
        name: cpu
        target:
          type: Utilization
          averageUtilization: 70
"""
_UNDELIVERED = """\
    - type: External
      external:
        metric:
          name: pubsub.googleapis.com|subscription|num_undelivered_messages
          selector:
            matchLabels:
              resource.labels.subscription_id: {subscription}
        target:
          type: AverageValue
          averageValue: "500"
"""


def names(topology: Topology, name: str) -> tuple[str, ...]:
    """Return the names that a word of a list stands for: of several services, or itself."""
    groups = {"services": topology.names, "gRPC services": tuple(topology.grpc_services)}
    return groups.get(name, (name,))


def kustomization(topology: Topology, service: ServiceDeclaration) -> str:
    """Return the kustomization that makes the common base that of one service."""
    variables = topology.environ(service.name).items()
    resources = service.resources
    grpc = topology.grpc_services.get(service.name)
    limit = f"      - {{op: replace, path: /spec/maxReplicas, value: {resources.max_replicas}}}\n"
    return _KUSTOMIZATION.format(
        name=service.name,
        literals="\n".join(f"      - {_scalar(f'{name}={value}')}" for name, value in variables),
        autoscaler="" if resources.max_replicas == DEFAULT_RESOURCES.max_replicas else limit,
        deployment=_resources(resources) + (_PROBE.format(service=grpc) if grpc else _NO_GRPC),
    )


def backlog(topology: Topology, service: ServiceDeclaration) -> str:
    """Return the patch that scales a service by the backlog of its subscriptions."""
    subscriptions = (
        subscription_name(service.name, each) for each in topology.subscribed_topics(service.name)
    )
    return _BACKLOG.format(name=service.name) + "".join(
        _UNDELIVERED.format(subscription=subscription) for subscription in subscriptions
    )


def _resources(resources: Resources) -> str:
    if replace(resources, max_replicas=DEFAULT_RESOURCES.max_replicas) == DEFAULT_RESOURCES:
        return ""
    return _RESOURCES.format(
        **{each.name: _scalar(str(getattr(resources, each.name))) for each in fields(resources)}
    )


def _directories(topology: Topology) -> Iterator[str]:
    yield from (f"- {name}" for name in topology.names)


def _literals(topology: Topology) -> Iterator[str]:
    yield from (f"- {variable}={address}" for variable, address in _addresses(topology))


def _images(topology: Topology) -> Iterator[str]:
    for name in (*topology.names, "gateway", "sagactl"):
        yield f"- name: localhost/saga/{name}"
        yield f"  newName: {REGISTRY}/{name}"


def _backlogs(topology: Topology) -> Iterator[str]:
    yield from (f"- path: backlog/{each.name}.yaml" for each in topology.services if each.subscribes_to)


def _compose_services(topology: Topology) -> Iterator[str]:
    for number, service in enumerate(topology.services):
        yield from [""] if number else []
        yield f"{service.name}:"
        yield "  <<: *service"
        yield f"  build: {{context: ., target: service, args: {{SERVICE: {service.package}}}}}"
        yield "  environment:"
        yield "    <<: *settings"
        for name, value in topology.environ(service.name).items():
            yield f"    {name}: {_scalar(value)}"


def _compose_addresses(topology: Topology) -> Iterator[str]:
    yield from (f"{variable}: {address}" for variable, address in _addresses(topology))


def _addresses(topology: Topology) -> Iterator[tuple[str, str]]:
    for name in topology.grpc_services:
        yield topology.service(name).address_variable, f"dns:///{name}:50051"


def _service_down(topology: Topology) -> Iterator[str]:
    processes = (*topology.names, "gateway")
    up = f'up{{service=~"{"|".join(processes)}"}}'
    yield "expr: |"
    yield f"  {len(processes)} - (count(count by (service) ({up} == 1)) or vector(0)) > 0"


BLOCKS: Mapping[str, Callable[[Topology], Iterator[str]]] = {
    "directories": _directories,
    "addresses": _literals,
    "images": _images,
    "backlogs": _backlogs,
    "compose services": _compose_services,
    "compose addresses": _compose_addresses,
    "ServiceDown": _service_down,
}


def _scalar(text: str) -> str:
    return text if _PLAIN.fullmatch(text) else json.dumps(text)
