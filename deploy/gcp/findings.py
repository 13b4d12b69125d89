"""Problems of a project and a cluster, by the answers of gcloud and kubectl: pure functions."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from deploy.gcp.plan import NAME, Where

OLDEST = (1, 30)
"""Kubernetes version: the `sleep` action of preStop hooks."""
REGIONAL_QUOTAS = {"CPUS": 8, "IN_USE_ADDRESSES": 4, "SSD_TOTAL_GB": 400}
"""Needed by four nodes of Autopilot: the suite with two replicas of everything, and a surge."""
GLOBAL_QUOTAS = {"CPUS_ALL_REGIONS": 8, "STATIC_ADDRESSES": 1}
NEEDS = {
    "enable APIs": "serviceusage.serviceUsageAdmin",
    "grant roles": "resourcemanager.projectIamAdmin",
    "create the database": "datastore.owner",
    "create topics and grant roles on them": "pubsub.admin",
    "create the repository": "artifactregistry.admin",
    "set up the network": "compute.networkAdmin",
    "create the DNS zone": "dns.admin",
    "create the certificate": "certificatemanager.editor",
}
"""The role that each part of the setup needs, unless the caller is an owner."""
EPHEMERAL_NEEDS = {
    "enable APIs": "serviceusage.serviceUsageAdmin",
    "grant roles": "resourcemanager.projectIamAdmin",
    "create the gateways' role": "iam.roleAdmin",
}
"""The same, in the project of the ephemeral subscriptions."""
BY_EDITOR = {
    "datastore.owner",
    "artifactregistry.admin",
    "compute.networkAdmin",
    "dns.admin",
    "certificatemanager.editor",
}
CRDS = (
    "gateways.gateway.networking.k8s.io",
    "httproutes.gateway.networking.k8s.io",
    "healthcheckpolicies.networking.gke.io",
    "gcpbackendpolicies.networking.gke.io",
    "podmonitorings.monitoring.googleapis.com",
    "rules.monitoring.googleapis.com",
)


@dataclass(frozen=True, slots=True)
class Answer:
    """The result of a command."""

    code: int
    output: str = ""
    error: str = ""

    @property
    def json(self) -> Any:
        """Its parsed output; None if the command failed."""
        return json.loads(self.output) if self.code == 0 and self.output.strip() else None


@dataclass(frozen=True, slots=True)
class Finding:
    """A problem, something that could not be checked, or a note, and what to do about it."""

    problem: str
    remedy: str
    kind: Literal["problem", "not checked", "note"] = "problem"

    @property
    def stops(self) -> bool:
        """Whether nothing may be changed while it remains."""
        return self.kind == "problem"

    def __str__(self) -> str:
        return f"{self.kind}: {self.problem}\n    {self.remedy}"


def account(answer: Answer) -> Iterator[Finding]:
    if not answer.json:
        yield Finding("gcloud has no active account", "gcloud auth login")


def project(name: str, answer: Answer, billing: Answer) -> Iterator[Finding]:
    about = answer.json
    if about is None or about.get("lifecycleState") != "ACTIVE":
        remedy = f"create it (gcloud projects create {name}), or have `roles/viewer` on it granted to you"
        yield Finding(f"project {name} does not exist, or you may not see it", remedy)
    elif billing.json is None:
        yield Finding(
            f"whether {name} has billing", f"gcloud billing projects describe {name}", kind="not checked"
        )
    elif not billing.json.get("billingEnabled"):
        yield Finding(
            f"project {name} has no billing", f"gcloud billing projects link {name} --billing-account=…"
        )


def roles(name: str, caller: str, answer: Answer, needs: Mapping[str, str]) -> Iterator[Finding]:
    """Check the roles that the caller has on a project or inherits. Those of groups are not seen."""
    if answer.json is None:
        yield Finding(
            f"your roles on {name}", f"gcloud projects get-ancestors-iam-policy {name}", kind="not checked"
        )
        return
    held = {
        binding["role"].removeprefix("roles/")
        for level in answer.json
        for binding in level["policy"].get("bindings", ())
        if any(member.rpartition(":")[2] == caller for member in binding["members"])
    }
    kind = "serviceAccount" if caller.endswith(".gserviceaccount.com") else "user"
    for what, role in needs.items():
        enough = {"owner", role} | ({"editor"} if role in BY_EDITOR else set())
        if not enough & held:
            remedy = (
                f"gcloud projects add-iam-policy-binding {name} --member={kind}:{caller} --role=roles/{role} "
                "(SKIP_PREFLIGHT=1 if you have it by a group or a role of your own)"
            )
            yield Finding(f"{caller} may not {what} in {name}: no roles/{role}", remedy)


def apis(name: str, answer: Answer) -> Iterator[Finding]:
    if answer.json is None:
        remedy = f"gcloud services enable serviceusage.googleapis.com --project={name}"
        yield Finding(f"the APIs of {name} cannot be listed, and so not be enabled", remedy)


def quotas(where: str, answer: Answer, needed: Mapping[str, int], cluster: Answer) -> Iterator[Finding]:
    """Check what is left. Once the cluster has nodes they are part of the usage: then a finding is a note."""
    has_nodes = bool((cluster.json or {}).get("currentNodeCount"))
    if answer.json is None:
        remedy = (
            "the API compute has to be enabled: run this again after `make project` or the cluster's creation"
        )
        yield Finding(f"quotas of {where}", remedy, kind="not checked")
        return
    found = {each["metric"]: each["limit"] - each["usage"] for each in answer.json.get("quotas", ())}
    for metric, least in needed.items():
        if metric in found and found[metric] < least:
            remedy = f"request more: https://console.cloud.google.com/iam-admin/quotas (metric {metric})"
            problem = f"quota {metric} of {where}: {found[metric]:g} are left, {least} are needed"
            if has_nodes:
                yield Finding(f"{problem} by a new cluster; this one has nodes", remedy, "note")
            else:
                yield Finding(problem, remedy)


def cluster(where: Where, answer: Answer) -> Iterator[Finding]:
    about = answer.json
    if about is None:
        remedy = (
            f"gcloud container clusters create-auto {NAME} --region={where.region} --project={where.project}"
        )
        yield Finding(f"cluster {NAME} does not exist in {where.region}, or you may not see it", remedy)
        return
    update = f"gcloud container clusters update {NAME} --region={where.region}"
    if about.get("status") != "RUNNING":
        yield Finding(f"cluster {NAME} is {about.get('status')}", "wait, or see its page in the console")
    yield from version(
        about.get("currentMasterVersion", ""), f"{update.replace('update', 'upgrade')} --master"
    )
    if about.get("workloadIdentityConfig", {}).get("workloadPool") != f"{where.project}.svc.id.goog":
        yield Finding(
            "the cluster has no workload identity", f"{update} --workload-pool={where.project}.svc.id.goog"
        )
    if about.get("autopilot", {}).get("enabled"):
        return
    if about.get("networkConfig", {}).get("datapathProvider") != "ADVANCED_DATAPATH":
        yield Finding("the cluster enforces no network policies", "a new one, with --enable-dataplane-v2")
    if about.get("networkConfig", {}).get("gatewayApiConfig", {}).get("channel") != "CHANNEL_STANDARD":
        yield Finding("the cluster has no Gateway API", f"{update} --gateway-api=standard")
    monitoring = about.get("monitoringConfig", {}).get("managedPrometheusConfig", {})
    if not monitoring.get("enabled"):
        yield Finding("the cluster collects no metrics", f"{update} --enable-managed-prometheus")


def version(found: str, remedy: str) -> Iterator[Finding]:
    numbers = re.match(r"v?(\d+)\.(\d+)", found)
    if numbers is None or (int(numbers[1]), int(numbers[2])) < OLDEST:
        wanted = ".".join(map(str, OLDEST))
        yield Finding(f"Kubernetes {found or 'of an unknown version'}, {wanted} or newer is needed", remedy)


def context(where: Where, answer: Answer) -> Iterator[Finding]:
    """Check that kubectl uses the project's cluster, if its context has a name as gcloud gives it."""
    name = answer.output.strip()
    remedy = (
        f"gcloud container clusters get-credentials {NAME} --region={where.region} --project={where.project}"
    )
    if not name:
        yield Finding("kubectl has no cluster", remedy)
    elif name.startswith("gke_") and name != f"gke_{where.project}_{where.region}_{NAME}":
        yield Finding(f"kubectl uses another cluster: {name}", remedy)


def reachable(answer: Answer) -> Iterator[Finding]:
    server = (answer.json or {}).get("serverVersion")
    if server is None:
        remedy = "gcloud components install gke-gcloud-auth-plugin, and the cluster's authorized networks"
        yield Finding(f"kubectl does not reach the cluster: {answer.error.strip()[:200]}", remedy)
    else:
        yield from version(server["gitVersion"], "upgrade the cluster")


def rights(answer: Answer) -> Iterator[Finding]:
    if answer.output.strip() != "yes":
        yield Finding("you may not deploy to the cluster", "have `roles/container.developer` granted to you")


def resources(answer: Answer) -> Iterator[Finding]:
    if answer.code:
        yield Finding("custom resources of the cluster", "kubectl get crd", kind="not checked")
        return
    there = {line.rpartition("/")[2] for line in answer.output.split()}
    if missing := [name for name in CRDS if name not in there]:
        remedy = "--gateway-api=standard, --enable-managed-prometheus; Autopilot has them after some minutes"
        yield Finding(f"the cluster does not know {', '.join(missing)}", remedy)


def external_metrics(answer: Answer) -> Iterator[Finding]:
    """Check that an adapter serves the backlogs, by which the services are scaled."""
    conditions = (answer.json or {}).get("status", {}).get("conditions", ())
    if not any(each["type"] == "Available" and each["status"] == "True" for each in conditions):
        remedy = "install the adapter (docs/deploy.md, step 4); until then only CPU scales the services"
        yield Finding("the cluster serves no external metrics", remedy, "note")


def images(registry: str, names: Iterable[str], tag: str, answer: Answer) -> Iterator[Finding]:
    tagged = {
        each["package"].rpartition("/")[2]
        for each in answer.json or ()
        if tag in (each["tags"].split(",") if isinstance(each["tags"], str) else each["tags"])
    }
    if missing := [name for name in names if name not in tagged]:
        remedy = f"make images push REGISTRY={registry} TAG={tag}"
        yield Finding(f"images with the tag {tag} that are missing: {', '.join(missing)}", remedy)


def certificate(domain: str, answer: Answer) -> Iterator[Finding]:
    if answer.json is None:
        yield Finding("there is no certificate", f"make project DOMAIN={domain} EXECUTE=1")
        return
    managed = answer.json.get("managed", {})
    if domain not in managed.get("domains", ()):
        has = ", ".join(managed.get("domains", ())) or "no domain"
        remedy = f"deploy with that DOMAIN, or delete it and `make project DOMAIN={domain} EXECUTE=1`"
        yield Finding(f"the certificate is for {has}, not {domain}", remedy)
    elif managed.get("state") == "FAILED":
        why = managed.get("provisioningIssue", {}).get("reason", "no reason given")
        yield Finding(
            f"the certificate cannot be issued: {why}", "check the DNS record; it is retried automatically"
        )
    elif managed.get("state") != "ACTIVE":
        remedy = "it takes up to an hour after the DNS record exists; until then HTTPS does not answer"
        yield Finding(f"the certificate is {managed.get('state')}", remedy, "note")


def dns(domain: str, address: Answer, found: Iterable[str]) -> Iterator[Finding]:
    wanted, addresses = (address.json or {}).get("address"), sorted(found)
    if wanted is None:
        yield Finding("no address is reserved for the gateway", "make project EXECUTE=1")
    elif wanted not in addresses:
        leads = f"leads to {', '.join(addresses)}" if addresses else "has no address"
        yield Finding(f"{domain} {leads}, not to {wanted}", f"an A record: {domain}. A {wanted}")
