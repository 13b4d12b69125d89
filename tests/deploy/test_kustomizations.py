"""Every patch and image of a kustomization matches something; kustomize ignores the others silently."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from contract.topology import TOPOLOGY
from tests.deploy.components import COMPONENT, added
from tests.support.manifests import COMPONENTS, K8S, ROOT, Document, kustomize, rendered

DEPLOY = K8S.parent
KUSTOMIZATIONS = sorted(path.parent.relative_to(DEPLOY) for path in K8S.rglob("kustomization.yaml"))
EVERY_DEPLOYMENT = "|".join((*TOPOLOGY.names, "gateway"))
LOADED_FIELDS = ("apiVersion", "kind", "namespace", "resources")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return Path(shutil.copytree(DEPLOY, tmp_path / "deploy"))


@pytest.mark.parametrize("directory", KUSTOMIZATIONS, ids=str)
def test_every_patch_and_image_matches_something(directory: Path, tree: Path):
    assert list(unmatched(tree / directory)) == []


@pytest.mark.parametrize(
    ("directory", "text", "instead"),
    [
        ("k8s/overlays/gke", "name: localhost/saga/stock\n", "name: localhost/saga/stocks\n"),
        ("k8s/overlays/gke", "name: localhost/saga/sagactl", "name: saga/sagactl"),
        ("k8s/overlays/local", "{kind: Service, name: gateway}", "{kind: Service, name: gatewy}"),
        ("k8s/overlays/local", f"name: {EVERY_DEPLOYMENT}", "name: purchases|stocks"),
        ("k8s/overlays/gke", "{kind: NetworkPolicy, name: gateway}", "{kind: Networkpolicy, name: gateway}"),
        (
            "k8s/components/observability",
            "Deployment, name: collector|jaeger|prometheus|grafana",
            "Deployment, name: tempo",
        ),
        ("k8s/base/stock", "kind: Deployment", "kind: StatefulSet"),
        ("k8s/base/stock", "  - name: service\n    newName", "  - name: stock\n    newName"),
    ],
)
def test_patch_or_image_without_a_match_is_found(directory: str, text: str, instead: str, tree: Path):
    file = tree / directory / "kustomization.yaml"
    before = file.read_text()
    assert text in before

    file.write_text(before.replace(text, instead, 1))

    if "components" not in directory:  # A component is rendered only as a part of an overlay.
        kustomize(tree / directory)  # ignores it
    assert list(unmatched(tree / directory))


def test_missing_kubectl_fails_the_test(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", "")

    with pytest.raises(pytest.fail.Exception, match="kubectl is missing"):
        kustomize(K8S / "overlays" / "local")


def test_page_of_kind_maps_the_port_of_the_gateway():
    page = (ROOT / "docs/how-to/local-kubernetes.md").read_text()
    cluster = yaml.safe_load(page.partition("<<YAML\n")[2].partition("\nYAML\n")[0])

    (mapping,) = cluster["nodes"][0]["extraPortMappings"]
    (port,) = rendered("local").find("Service", "gateway")["spec"]["ports"]
    assert mapping["containerPort"] == port["nodePort"]


def test_page_of_local_clusters_names_the_image_of_the_emulators():
    page = (ROOT / "docs/how-to/local-kubernetes.md").read_text()
    images = {each.spec["image"] for workload in rendered("local").workloads for each in workload.containers}

    assert [image for image in images if "emulators" in image and f"`{image}`" not in page] == []


@pytest.mark.parametrize("component", COMPONENTS)
def test_page_deletes_everything_of_a_component(component: str):
    page = (ROOT / "docs/deploy.md").read_text()
    kinds = {
        each["kind"].lower()
        for each in added(rendered("components"))
        if each["metadata"]["labels"][COMPONENT] == component
    }

    (deleted,) = re.findall(rf"kubectl -n saga delete (\S+) --selector {COMPONENT}={component}", page)

    assert {*deleted.split(",")} == kinds


def unmatched(directory: Path) -> Iterator[str]:
    """Yield images and patch targets of a kustomization that its resources do not contain."""
    file = directory / "kustomization.yaml"
    whole = yaml.safe_load(file.read_text())
    # Without patches and images, kustomize renders only the resources.
    file.write_text(yaml.safe_dump({name: whole[name] for name in LOADED_FIELDS if name in whole}))
    loaded = list(yaml.safe_load_all(kustomize(directory)))
    images = {image for document in loaded for image in _images(document)}
    patched = images | {image for patch in whole.get("patches", ()) for image in _patch_images(patch)}
    for image in whole.get("images", ()):
        if image["name"] not in patched:
            yield f"image {image['name']} is not used"
    for patch in whole.get("patches", ()):
        # A patch without a target names its resource, and kustomize checks that.
        if "target" in patch and not any(_targets(patch["target"], document) for document in loaded):
            yield f"patch of {patch['target']} matches nothing"


def _images(document: Document) -> Iterator[str]:
    spec = document.get("spec", {})
    pod = spec.get("jobTemplate", {}).get("spec", spec).get("template", {}).get("spec", {})
    for container in (*pod.get("containers", ()), *pod.get("initContainers", ())):
        yield container["image"].rpartition(":")[0] or container["image"]


def _patch_images(patch: Document) -> Iterator[str]:
    yield from re.findall(r"image: (\S+):", patch.get("patch", ""))


def _targets(target: Document, document: Document) -> bool:
    """Match as kustomize does: regular expressions for the whole name."""
    actual = {"kind": document["kind"], "name": document["metadata"]["name"]}
    return all(re.fullmatch(pattern, actual[field]) for field, pattern in target.items())
