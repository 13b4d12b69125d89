"""Checks before anything is changed: all problems at once, each with what to do about it."""

import os
import socket
import subprocess
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import click

from deploy.gcp import findings
from deploy.gcp.findings import Answer, Finding
from deploy.gcp.plan import NAME, Where
from deploy.gcp.steps import Argv

SKIP = "SKIP_PREFLIGHT"
"""The variable that lets a change begin although problems remain."""
TIMEOUT_SECONDS = 60
EXTERNAL_METRICS = "v1beta1.external.metrics.k8s.io"
Run = Callable[[Argv], Answer]
Resolve = Callable[[str], set[str]]


def _gcloud(where: Where, *words: str) -> Argv:
    return ("gcloud", *words, f"--project={where.project}", "--format=json", "--quiet")


def _project_commands(where: Where) -> Mapping[str, Argv]:
    commands = {
        "account": ("gcloud", "auth", "list", "--filter=status:ACTIVE", "--format=json"),
        "region": _gcloud(where, "compute", "regions", "describe", where.region),
        "global": _gcloud(where, "compute", "project-info", "describe"),
        "cluster": _gcloud(where, "container", "clusters", "describe", NAME, f"--region={where.region}"),
    }
    for name in {where.project, where.ephemeral_project}:
        quiet = ("--format=json", "--quiet")
        commands[f"project {name}"] = ("gcloud", "projects", "describe", name, *quiet)
        commands[f"billing {name}"] = ("gcloud", "billing", "projects", "describe", name, *quiet)
        commands[f"roles {name}"] = ("gcloud", "projects", "get-ancestors-iam-policy", name, *quiet)
        commands[f"apis {name}"] = ("gcloud", "services", "list", "--enabled", f"--project={name}", *quiet)
    return commands


def _deploy_commands(where: Where) -> Mapping[str, Argv]:
    return {
        "account": ("gcloud", "auth", "list", "--filter=status:ACTIVE", "--format=json"),
        "cluster": _gcloud(where, "container", "clusters", "describe", NAME, f"--region={where.region}"),
        "images": _gcloud(where, "artifacts", "docker", "images", "list", _registry(where), "--include-tags"),
        "certificate": _gcloud(where, "certificate-manager", "certificates", "describe", NAME),
        "address": _gcloud(where, "compute", "addresses", "describe", NAME, "--global"),
        "context": ("kubectl", "config", "current-context"),
        "version": ("kubectl", "version", "--output=json", "--request-timeout=20s"),
        "rights": ("kubectl", "auth", "can-i", "create", "deployments", f"--namespace={NAME}"),
        "crds": ("kubectl", "get", "crd", "--output=name", "--request-timeout=20s"),
        "metrics": (
            "kubectl",
            "get",
            "apiservice",
            EXTERNAL_METRICS,
            "--output=json",
            "--request-timeout=20s",
        ),
    }


def commands(where: Where) -> list[Argv]:
    """Return every command, all of which only read."""
    return [*_project_commands(where).values(), *_deploy_commands(where).values()]


def before_project(where: Where, run: Run) -> Iterator[Finding]:
    """Yield what is in the way of `make project`."""
    answers = _answers(_project_commands(where), run)
    yield from findings.account(answers["account"])
    caller = next((each["account"] for each in answers["account"].json or ()), "")
    for name in dict.fromkeys((where.project, where.ephemeral_project)):
        yield from findings.project(name, answers[f"project {name}"], answers[f"billing {name}"])
        if answers[f"project {name}"].json is not None and caller:
            needs = {
                **(findings.NEEDS if name == where.project else {}),
                **(findings.EPHEMERAL_NEEDS if name == where.ephemeral_project else {}),
            }
            yield from findings.roles(name, caller, answers[f"roles {name}"], needs)
            yield from findings.apis(name, answers[f"apis {name}"])
    about = answers["cluster"]
    yield from findings.quotas(where.region, answers["region"], findings.REGIONAL_QUOTAS, about)
    yield from findings.quotas(where.project, answers["global"], findings.GLOBAL_QUOTAS, about)
    yield from findings.cluster(where, about)


def before_deploy(where: Where, tag: str, run: Run, resolve: Resolve) -> Iterator[Finding]:
    """Yield what is in the way of `make deploy OVERLAY=gke`."""
    answers = _answers(_deploy_commands(where), run)
    yield from findings.account(answers["account"])
    yield from findings.cluster(where, answers["cluster"])
    yield from findings.context(where, answers["context"])
    unreachable = [*findings.reachable(answers["version"])]
    yield from unreachable
    if not unreachable:
        yield from findings.rights(answers["rights"])
        yield from findings.resources(answers["crds"])
        yield from findings.external_metrics(answers["metrics"])
    names = (*Path("deploy/services.txt").read_text().split(), "sagactl")
    yield from findings.images(_registry(where), names, tag, answers["images"])
    yield from findings.certificate(where.domain, answers["certificate"])
    yield from findings.dns(where.domain, answers["address"], resolve(where.domain))


def report(found: Iterator[Finding], what: str) -> str | None:
    """Print the findings; return why `what` must not begin, None if it may."""
    listed = [*found]
    for each in listed:
        click.echo(each)
    problems = sum(each.stops for each in listed)
    if not problems:
        click.echo(f"preflight: nothing stands in the way of {what}")
        return None
    if os.environ.get(SKIP):
        click.echo(f"preflight: {problems} problems remain, {SKIP} is set")
        return None
    return f"preflight: {problems} problems, nothing was changed ({SKIP}=1 begins nevertheless)"


def call(argv: Argv) -> Answer:
    """Run a command that only reads."""
    try:
        done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=TIMEOUT_SECONDS)
    except FileNotFoundError:
        return Answer(127, error=f"{argv[0]} is missing")
    except subprocess.TimeoutExpired:
        return Answer(124, error=f"no answer within {TIMEOUT_SECONDS} s")
    return Answer(done.returncode, done.stdout, done.stderr)


def resolved(domain: str) -> set[str]:
    """Return the IPv4 addresses of a name; none if it has none."""
    try:
        return {str(each[4][0]) for each in socket.getaddrinfo(domain, 443, socket.AF_INET)}
    except OSError:
        return set()


def _answers(commands: Mapping[str, Argv], run: Run) -> Mapping[str, Answer]:
    with ThreadPoolExecutor(8) as pool:
        return dict(zip(commands, pool.map(run, commands.values()), strict=True))


def _registry(where: Where) -> str:
    return f"{where.region}-docker.pkg.dev/{where.project}/{NAME}"
