"""Writes what lists the services in manifests, compose.yaml and alarms: `python -m deploy.generate`.

Files that begin with HEAD are written as a whole. In those that are written by hand,

    values: [purchase, stock] # generated: services, gateway

gets the names of the services and that other one, separated as they are, and the lines between a line
`# generated: NAME` and a line `# end` are replaced by the block of that name (deploy/blocks.py).
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from textwrap import indent

from contract.topology import TOPOLOGY
from deploy import blocks
from sagakit.topology import Topology

ROOT = Path(__file__).parents[1]
HEAD = "# Written by `make generate` from contract/topology.py.\n"
IMAGES = "deploy/services.txt"
"""The names of the Deployments' images, for scripts that run without Python."""
RULES, GKE_RULES = "deploy/monitoring/rules.yaml", "deploy/k8s/overlays/gke/rules.yaml"
_GKE_RULES_HEAD = f"""\
# Written by `make generate` from {RULES}.
apiVersion: monitoring.googleapis.com/v1
kind: Rules
metadata:
  name: saga
spec:
"""
_MARK = "# generated: "
_LIST = re.compile(
    rf"\b[a-z][a-z0-9-]*(?P<separator>\||, )(?:[a-z0-9-]+(?P=separator))*[a-z0-9-]+"
    rf"(?P<rest>[^#]* {_MARK}(?P<names>.+))"
)
_BLOCK = re.compile(
    rf"^(?P<begin>(?P<indent> *){_MARK}(?P<name>.+)\n)(?:.*\n)*?(?P<end> *# end\n)", re.MULTILINE
)


def generated(root: Path, topology: Topology = TOPOLOGY) -> dict[str, str]:
    """Return the text of each file below `root` that is written wholly or in part, by its path."""
    files = {IMAGES: " ".join((*topology.names, "gateway")) + "\n", **_of_services(topology)}
    for path in (*sorted((root / "deploy").rglob("*.yaml")), root / "compose.yaml"):
        name, text = path.relative_to(root).as_posix(), path.read_text()
        if _MARK in text:
            files[name] = filled(text, topology)
    files[GKE_RULES] = _of_gke(files[RULES])
    return files


def filled(text: str, topology: Topology) -> str:
    """Return a file written by hand with its lists and blocks replaced.

    Raises KeyError for an unknown block, ValueError for a list that is none.
    """

    def block(match: re.Match[str]) -> str:
        lines = "\n".join(blocks.BLOCKS[match["name"]](topology)) + "\n"
        return match["begin"] + indent(lines, match["indent"]) + match["end"]

    def line(text: str) -> str:
        if _MARK not in text or text.lstrip().startswith(_MARK):
            return text
        match = _LIST.search(text)
        if match is None:
            raise ValueError(f"no list of two names or more: {text}")
        names = [each for name in match["names"].split(", ") for each in blocks.names(topology, name)]
        return text[: match.start()] + match["separator"].join(names) + match["rest"] + "\n"

    return "".join(map(line, _BLOCK.sub(block, text).splitlines(keepends=True)))


def outdated(root: Path, topology: Topology = TOPOLOGY) -> Iterator[str]:
    """Yield the whole files below `root` that are written no more, such as those of a removed service."""
    wanted = generated(root, topology)
    for path in sorted((root / "deploy/k8s").rglob("*.yaml")):
        name = path.relative_to(root).as_posix()
        if name not in wanted and path.read_text().startswith(HEAD):
            yield name


def write(root: Path = ROOT, topology: Topology = TOPOLOGY) -> None:
    """Write the files, and remove outdated ones."""
    for name in [*outdated(root, topology)]:
        (root / name).unlink()
    for name, text in generated(root, topology).items():
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text(text)


def _of_services(topology: Topology) -> Mapping[str, str]:
    files = {}
    for service in topology.services:
        kustomization = f"deploy/k8s/base/{service.name}/kustomization.yaml"
        files[kustomization] = HEAD + blocks.kustomization(topology, service)
        if service.subscribes_to:
            files[f"deploy/k8s/overlays/gke/backlog/{service.name}.yaml"] = HEAD + blocks.backlog(
                topology, service
            )
    return files


def _of_gke(rules: str) -> str:
    lines = (
        line.partition(f" {_MARK}")[0] for line in rules.splitlines() if not line.lstrip().startswith("#")
    )
    return _GKE_RULES_HEAD + indent("\n".join(lines) + "\n", "  ")


if __name__ == "__main__":
    write()
