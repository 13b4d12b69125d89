"""Answers of gcloud and kubectl for a project and a cluster that have everything, as documented."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from contract.topology import TOPOLOGY
from deploy.gcp.findings import CRDS, Answer
from deploy.gcp.steps import Argv

ME, REGISTRY = "me@example.com", "europe-west4-docker.pkg.dev/my-proj/saga"
ADDRESS, DOMAIN = "203.0.113.7", "shop.example.com"


def _policy(*roles: str) -> list[dict[str, Any]]:
    bindings = [
        {"role": f"roles/{role}", "members": [f"user:{ME}", "user:other@example.com"]} for role in roles
    ]
    return [{"id": "my-proj", "type": "project", "policy": {"bindings": bindings}}]


def answers() -> dict[str, Any]:
    """Return the parsed output of each command, by its words before the options; text if it is not JSON."""
    quotas = {"CPUS": 24, "IN_USE_ADDRESSES": 8, "SSD_TOTAL_GB": 500}
    return {
        "auth list": [{"account": ME, "status": "ACTIVE"}],
        **{f"projects describe {name}": {"projectId": name, "lifecycleState": "ACTIVE"} for name in PROJECTS},
        **{f"billing projects describe {name}": {"billingEnabled": True} for name in PROJECTS},
        "projects get-ancestors-iam-policy my-proj": _policy("owner"),
        "projects get-ancestors-iam-policy my-proj-ephemeral": _policy(
            "serviceusage.serviceUsageAdmin", "resourcemanager.projectIamAdmin", "iam.roleAdmin"
        ),
        "services list": [{"config": {"name": "compute.googleapis.com"}, "state": "ENABLED"}],
        "compute regions describe europe-west4": {
            "quotas": [{"metric": name, "limit": limit, "usage": 2} for name, limit in quotas.items()]
        },
        "compute project-info describe": {
            "quotas": [
                {"metric": "CPUS_ALL_REGIONS", "limit": 32, "usage": 0},
                {"metric": "STATIC_ADDRESSES", "limit": 8, "usage": 1},
            ]
        },
        "container clusters describe saga": CLUSTER,
        f"artifacts docker images list {REGISTRY}": [
            {"package": f"{REGISTRY}/{name}", "tags": "v6,v7"}
            for name in (*TOPOLOGY.names, "gateway", "sagactl")
        ],
        "certificate-manager certificates describe saga": {
            "managed": {"domains": [DOMAIN], "state": "ACTIVE"}
        },
        "compute addresses describe saga": {"address": ADDRESS, "status": "RESERVED"},
        "config current-context": "gke_my-proj_europe-west4_saga\n",
        "version": {"serverVersion": {"gitVersion": "v1.33.5-gke.1201000"}},
        "auth can-i create deployments": "yes\n",
        "get apiservice v1beta1.external.metrics.k8s.io": {
            "status": {"conditions": [{"type": "Available", "status": "True"}]}
        },
        "get crd": "\n".join(f"customresourcedefinition.apiextensions.k8s.io/{name}" for name in CRDS),
    }


CLUSTER = {
    "status": "RUNNING",
    "currentMasterVersion": "1.33.5-gke.1201000",
    "workloadIdentityConfig": {"workloadPool": "my-proj.svc.id.goog"},
    "autopilot": {"enabled": True},
    "networkConfig": {
        "datapathProvider": "ADVANCED_DATAPATH",
        "gatewayApiConfig": {"channel": "CHANNEL_STANDARD"},
    },
    "monitoringConfig": {"managedPrometheusConfig": {"enabled": True}},
}
PROJECTS = ("my-proj", "my-proj-ephemeral")


def key(argv: Argv | Iterable[str]) -> str:
    """Return the words of a command before its first option, without its program."""
    words = [*argv][1:]
    options = [number for number, word in enumerate(words) if word.startswith("-")]
    return " ".join(words[: options[0]] if options else words)


def answer(known: dict[str, Any], argv: Argv) -> Answer:
    """Answer a command; it fails if it is not known. Raises KeyError for a command of another kind."""
    if key(argv) not in answers():
        raise KeyError(key(argv))
    if (found := known.get(key(argv))) is None:
        return Answer(1, error="NOT_FOUND or PERMISSION_DENIED")
    return Answer(0, found if isinstance(found, str) else json.dumps(found))


def write(known: dict[str, Any], directory: Path) -> None:
    """Write the answers as files that tests/support/gcloud prints."""
    for name, found in known.items():
        text = found if isinstance(found, str) else json.dumps(found)
        (directory / f"{name.replace('/', '_')}.json").write_text(text)
