"""Rendered manifests, with Kubernetes' selection of pods and the environment of containers."""

import copy
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
K8S = ROOT / "deploy" / "k8s"
OVERLAYS = ("gke", "local")
COMPONENTS = ("load-generator", "observability")
WITH_COMPONENTS = "components"
"""An overlay of one's own: the local one, with every component."""
RENDERED = (*OVERLAYS, WITH_COMPONENTS)

Document = dict[str, Any]


def kustomize(directory: Path) -> str:
    """Return the output of `kubectl kustomize`; fail the test if it is not available."""
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        pytest.fail("kubectl is missing: it renders the manifests (https://kubernetes.io/docs/tasks/tools/)")
    done = subprocess.run([kubectl, "kustomize", directory], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert not done.stderr, done.stderr
    return done.stdout


def kustomize_overlay(name: str, kustomize: Callable[[Path], str] = kustomize) -> str:
    """Return the rendered manifests of one of RENDERED."""
    if name != WITH_COMPONENTS:
        return kustomize(K8S / "overlays" / name)
    with tempfile.TemporaryDirectory() as directory:
        up = Path(os.path.relpath(K8S, Path(directory).resolve()))
        own = {
            "kind": "Kustomization",
            "namespace": "saga",
            "resources": [str(up / "overlays/local")],
            "components": [str(up / "components" / each) for each in COMPONENTS],
        }
        (Path(directory) / "kustomization.yaml").write_text(yaml.safe_dump(own))
        return kustomize(Path(directory))


@cache
def _rendered(overlay: str) -> list[Document]:
    return list(yaml.safe_load_all(kustomize_overlay(overlay)))


def rendered(overlay: str) -> "Manifests":
    """Return a copy, so that tests can change it."""
    based_on = "local" if overlay == WITH_COMPONENTS else overlay
    return Manifests(based_on, copy.deepcopy(_rendered(overlay)))


@dataclass(frozen=True, slots=True)
class Container:
    """A container, and the environment of its process."""

    name: str
    spec: Document
    environ: Mapping[str, str]

    @property
    def program(self) -> str:
        """The last part of the image's name: purchase, sagactl, google-cloud-cli."""
        return self.spec["image"].rpartition("/")[2].partition(":")[0]

    @property
    def ports(self) -> dict[str, int]:
        return {port["name"]: port["containerPort"] for port in self.spec.get("ports", ())}


@dataclass(frozen=True, slots=True)
class Workload:
    """A Deployment, Job or CronJob."""

    kind: str
    name: str
    spec: Document
    """Of a CronJob its jobTemplate's."""
    labels: Mapping[str, str]
    """Labels of its pods."""
    pod: Document
    containers: tuple[Container, ...]
    init_containers: tuple[Container, ...]

    @property
    def all_containers(self) -> tuple[Container, ...]:
        return (*self.init_containers, *self.containers)

    @property
    def ports(self) -> dict[str, int]:
        return {name: port for container in self.containers for name, port in container.ports.items()}


class Manifests:
    """An overlay's documents."""

    def __init__(self, overlay: str, documents: list[Document]) -> None:
        self.overlay = overlay
        self.documents = documents

    def of(self, *kinds: str) -> Iterator[Document]:
        return (document for document in self.documents if document["kind"] in kinds)

    def find(self, kind: str, name: str) -> Document:
        """Return the document. Raises KeyError if it does not exist."""
        for document in self.of(kind):
            if document["metadata"]["name"] == name:
                return document
        raise KeyError(f"{kind} {name}")

    @property
    def workloads(self) -> list[Workload]:
        return [self._workload(document) for document in self.of("Deployment", "Job", "CronJob")]

    def selected(self, selector: Document | None) -> list[Workload]:
        """Return the workloads whose pods the selector matches; an empty one matches all."""
        return [workload for workload in self.workloads if selects(selector, workload.labels)]

    def _workload(self, document: Document) -> Workload:
        spec = document["spec"].get("jobTemplate", document)["spec"]
        template = spec["template"]
        pod = template["spec"]
        return Workload(
            kind=document["kind"],
            name=document["metadata"]["name"],
            spec=spec,
            labels=template["metadata"].get("labels", {}),
            pod=pod,
            containers=tuple(self._container(spec) for spec in pod["containers"]),
            init_containers=tuple(self._container(spec) for spec in pod.get("initContainers", ())),
        )

    def _container(self, spec: Document) -> Container:
        environ: dict[str, str] = {}
        for source in spec.get("envFrom", ()):
            environ |= self.find("ConfigMap", source["configMapRef"]["name"])["data"]
        environ |= {entry["name"]: entry["value"] for entry in spec.get("env", ())}
        return Container(spec["name"], spec, environ)


def selects(selector: Document | None, labels: Mapping[str, str]) -> bool:
    """Return whether the selector matches, as in Kubernetes; None matches nothing."""
    if selector is None:
        return False
    wanted = selector.get("matchLabels") or {}
    return all(labels.get(name) == value for name, value in wanted.items()) and all(
        _expression_holds(each, labels) for each in selector.get("matchExpressions") or ()
    )


def _expression_holds(expression: Document, labels: Mapping[str, str]) -> bool:
    if expression["operator"] != "In":
        raise NotImplementedError(expression["operator"])
    return labels.get(expression["key"]) in expression["values"]
