"""Preflight: nothing is found where everything is there; each single problem is, with what to do about it."""

import copy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from deploy.gcp import preflight
from deploy.gcp.findings import Answer, Finding
from deploy.gcp.plan import Where
from tests.support.gcloud_project import Project
from tests.support.manifests import ROOT
from tests.support.preflight import ADDRESS, DOMAIN, ME, REGISTRY, answer, answers

WHERE = Where("my-proj", "europe-west4", domain=DOMAIN)
CLUSTER, REGION = "container clusters describe saga", "compute regions describe europe-west4"
METRICS = "get apiservice v1beta1.external.metrics.k8s.io"
ROLES, CERTIFICATE = "projects get-ancestors-iam-policy", "certificate-manager certificates describe saga"


def found(stage: str, known: dict[str, Any], addresses: tuple[str, ...] = (ADDRESS,)) -> list[Finding]:
    run = lambda argv: answer(known, argv)  # noqa: E731  the one seam
    if stage == "project":
        return [*preflight.before_project(WHERE, run)]
    return [*preflight.before_deploy(WHERE, "v7", run, lambda _: set(addresses))]


@pytest.mark.parametrize("stage", ["project", "deploy"])
def test_nothing_is_found_where_everything_is_there(stage: str):
    assert found(stage, answers()) == []


POLICY = "0.policy.bindings"
FAULTS = [
    # Stage, command, path in its answer ("": all of it), wrong value (None: it fails, or lacks the field).
    ("project", "auth list", "", [], "no active account"),
    ("project", "projects describe my-proj", "", None, "my-proj does not exist"),
    (
        "project",
        "projects describe my-proj-ephemeral",
        "lifecycleState",
        "DELETE_REQUESTED",
        "does not exist",
    ),
    ("project", "billing projects describe my-proj", "billingEnabled", False, "my-proj has no billing"),
    ("project", f"{ROLES} my-proj", f"{POLICY}.0.members", ["group:x@example.com"], "may not enable APIs"),
    ("project", f"{ROLES} my-proj", f"{POLICY}.0.role", "roles/editor", "no roles/pubsub.admin"),
    ("project", f"{ROLES} my-proj-ephemeral", f"{POLICY}.2.role", "roles/viewer", "no roles/iam.roleAdmin"),
    ("project", "services list", "", None, "APIs of my-proj cannot be listed"),
    ("project", REGION, "quotas.0.limit", 9, "quota CPUS of europe-west4: 7 are left, 8 are needed"),
    ("project", REGION, "quotas.1.usage", 8, "quota IN_USE_ADDRESSES"),
    ("project", "compute project-info describe", "quotas.1.usage", 8, "quota STATIC_ADDRESSES"),
    ("project", CLUSTER, "", None, "cluster saga does not exist"),
    ("project", CLUSTER, "workloadIdentityConfig", None, "no workload identity"),
    ("deploy", CLUSTER, "status", "PROVISIONING", "cluster saga is PROVISIONING"),
    ("deploy", CLUSTER, "currentMasterVersion", "1.29.11-gke.1", "1.30 or newer is needed"),
    ("deploy", "config current-context", "", "gke_other_europe-west4_saga", "another cluster: gke_other"),
    ("deploy", "config current-context", "", None, "kubectl has no cluster"),
    ("deploy", "version", "serverVersion.gitVersion", "v1.29.1", "1.30 or newer is needed"),
    ("deploy", "version", "", None, "kubectl does not reach the cluster: NOT_FOUND"),
    ("deploy", "auth can-i create deployments", "", "no\n", "may not deploy"),
    ("deploy", "get crd", "", "", "does not know gateways.gateway.networking.k8s.io"),
    (
        "deploy",
        f"artifacts docker images list {REGISTRY}",
        "0.tags",
        "v6",
        "tag v7 that are missing: purchase",
    ),
    ("deploy", f"artifacts docker images list {REGISTRY}", "5.tags", [], "missing: sagactl"),
    ("deploy", CERTIFICATE, "", None, "there is no certificate"),
    ("deploy", CERTIFICATE, "managed.domains", ["old.example.com"], "certificate is for old.example.com"),
    ("deploy", CERTIFICATE, "managed.state", "FAILED", "certificate cannot be issued"),
    ("deploy", "compute addresses describe saga", "", None, "no address is reserved"),
]


@pytest.mark.parametrize(("stage", "command", "path", "value", "text"), FAULTS)
def test_planted_problem_is_found(stage: str, command: str, path: str, value: object, text: str):
    problems = [each for each in found(stage, planted(command, path, value)) if each.stops]

    assert [each for each in problems if text in each.problem]
    assert all(each.remedy for each in problems)


def planted(command: str, path: str, value: object) -> dict[str, Any]:
    known = copy.deepcopy(answers())
    place: Any = known
    *names, last = [command, *filter(None, path.split("."))]
    for name in names:
        place = place[int(name) if isinstance(place, list) else name]
    if value is None:
        del place[last]
    else:
        place[int(last) if isinstance(place, list) else last] = value
    return known


NOTES = [
    ("project", REGION, "quotas.0.limit", 9, "7 are left, 8 are needed by a new cluster"),
    ("project", "compute project-info describe", "quotas.1.usage", 8, "quota STATIC_ADDRESSES"),
    ("deploy", CERTIFICATE, "managed.state", "PROVISIONING", "the certificate is PROVISIONING"),
    ("deploy", METRICS, "", None, "serves no external metrics"),
    ("deploy", METRICS, "status.conditions.0.status", "False", "serves no external metrics"),
    ("deploy", METRICS, "status", {}, "serves no external metrics"),
]


@pytest.mark.parametrize(("stage", "command", "path", "value", "text"), NOTES)
def test_note_is_printed_and_does_not_stop(stage: str, command: str, path: str, value: object, text: str):
    """Known fault: the nodes of a running suite used up the quota that `make project` wanted for them."""
    known = planted(command, path, value)
    known[CLUSTER]["currentNodeCount"] = 3

    (note,) = found(stage, known)

    assert str(note).startswith("note: ")
    assert text in note.problem
    assert note.remedy
    assert not note.stops


@pytest.mark.parametrize(
    ("addresses", "leads"), [((), "has no address"), (("192.0.2.1",), "leads to 192.0.2.1")]
)
def test_domain_that_leads_elsewhere_is_found(addresses: tuple[str, ...], leads: str):
    (problem,) = found("deploy", answers(), addresses)

    assert problem.problem == f"{DOMAIN} {leads}, not to {ADDRESS}"
    assert problem.remedy == f"an A record: {DOMAIN}. A {ADDRESS}"


@pytest.mark.parametrize(
    ("path", "value", "text"),
    [
        ("networkConfig.datapathProvider", "LEGACY_DATAPATH", "no network policies"),
        ("networkConfig.gatewayApiConfig", None, "no Gateway API"),
        ("monitoringConfig", None, "no metrics"),
    ],
)
def test_standard_cluster_needs_what_autopilot_has(path: str, value: object, text: str):
    for autopilot, expected in ((False, True), (True, False)):
        known = planted(CLUSTER, path, value)
        known[CLUSTER]["autopilot"] = {"enabled": autopilot}

        assert any(text in each.problem for each in found("deploy", known)) == expected


def test_what_cannot_be_checked_does_not_stop():
    """Before the first setup the API of the quotas is not enabled."""
    known = answers()
    for command in (
        REGION,
        "compute project-info describe",
        f"{ROLES} my-proj",
        "billing projects describe my-proj",
    ):
        del known[command]

    notes = found("project", known)

    assert len(notes) == 4
    assert not any(each.stops for each in notes)


def test_caller_is_found_among_several_roles_and_levels():
    known = answers()
    known[f"{ROLES} my-proj"] = [
        {"policy": {"bindings": [{"role": "roles/editor", "members": [f"user:{ME}"]}]}},
        {"policy": {}},
        {"policy": {"bindings": [{"role": "roles/owner", "members": [f"user:{ME}"]}]}},
    ]

    assert found("project", known) == []


def test_missing_program_is_an_answer():
    assert preflight.call(("no-such-program-here",)) == Answer(127, error="no-such-program-here is missing")


OPTIONS = ("--project", "my-proj", "--region", "europe-west4", "--domain", DOMAIN)


def run(project: Project, *argv: str, **environ: str) -> subprocess.CompletedProcess[str]:
    argv = (sys.executable, "-m", "deploy.gcp", *argv)
    env = {**project.environ, **environ}
    return subprocess.run(argv, cwd=ROOT, env=env, capture_output=True, text=True, check=False)


def test_all_problems_are_printed_and_nothing_is_changed(tmp_path: Path):
    project = Project(tmp_path)
    project.forget_answer("billing projects describe my-proj")
    project.forget_answer("projects describe my-proj-ephemeral")
    project.forget_answer(CLUSTER)

    done = run(project, "setup", *OPTIONS, "--execute")

    assert done.returncode == 1
    assert "not checked: whether my-proj has billing" in done.stdout
    assert "problem: project my-proj-ephemeral does not exist" in done.stdout
    assert "    gcloud container clusters create-auto saga --region=europe-west4" in done.stdout
    assert (
        done.stderr == "preflight: 2 problems, nothing was changed (SKIP_PREFLIGHT=1 begins nevertheless)\n"
    )
    assert project.calls == []


def test_setup_begins_nevertheless_if_told_so(tmp_path: Path):
    project = Project(tmp_path)
    project.forget_answer(CLUSTER)

    done = run(project, "setup", *OPTIONS, "--execute", SKIP_PREFLIGHT="1")

    assert done.returncode == 0, done.stderr
    assert "preflight: 1 problems remain, SKIP_PREFLIGHT is set" in done.stdout
    assert project.changes


def test_printing_the_setup_needs_no_project(tmp_path: Path):
    project = Project(tmp_path)
    project.forget_answer("auth list")

    assert run(project, "setup", *OPTIONS).returncode == 0


def test_deployment_stops_at_a_problem(tmp_path: Path):
    """The name is none that anything resolves to (RFC 2606)."""
    project = Project(tmp_path)
    environ = {"PROJECT_ID": "my-proj", "REGION": "europe-west4", "DOMAIN": DOMAIN, "TAG": "v7"}

    done = run(project, "preflight", **environ)
    skipped = run(project, "preflight", **environ, SKIP_PREFLIGHT="1")

    assert done.returncode == 1
    assert [line for line in done.stdout.splitlines() if line.startswith("problem")] == [
        f"problem: {DOMAIN} has no address, not to {ADDRESS}"
    ]
    assert skipped.returncode == 0


def test_make_deploys_after_the_preflight_only():
    """Also not if it only renders, nor for a cluster with the emulators."""

    def recipe(*variables: str) -> str:
        make = ("make", "--no-print-directory", "--dry-run", "deploy", *variables)
        return subprocess.run(make, cwd=ROOT, capture_output=True, text=True, check=True).stdout

    assert recipe("OVERLAY=gke").rstrip().endswith('-m deploy.gcp preflight && deploy/k8s/apply "gke"')
    assert "preflight" not in recipe("OVERLAY=gke", "RENDER=1") + recipe("OVERLAY=local")
