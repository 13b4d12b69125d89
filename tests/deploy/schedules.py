"""The scheduled audit: each run has its slice, ends before the next one, and is scraped before it ends."""

import re
from collections.abc import Iterator

import click

from sagakit.ctl.cli.audit import audit
from tests.support.manifests import Document, Manifests, Workload

HOUR = 3600
STARTING_SECONDS = 300
"""Time for a node to be added, and an image to be pulled."""
SCRAPES = 2
DISCOVERY_SECONDS = 60
"""Time until the collectors know a new pod, with a margin."""


def check(manifests: Manifests) -> Iterator[str]:
    jobs = {document["metadata"]["name"]: document["spec"] for document in manifests.of("CronJob")}
    if manifests.overlay == "gke" and jobs.keys() != {"audit"}:
        yield f"the scheduled jobs are {sorted(jobs)}"
    for workload in manifests.workloads:
        if workload.kind == "CronJob":
            yield from _schedule(jobs[workload.name])
            yield from _run(manifests, workload)


def _schedule(spec: Document) -> Iterator[str]:
    minute = re.fullmatch(r"(\d+) \* \* \* \*", spec["schedule"])
    if minute is None or spec.get("timeZone") != "Etc/UTC":
        yield f"it does not run once an hour, but at {spec['schedule']}"
    elif int(minute[1]) * 60 + spec.get("startingDeadlineSeconds", HOUR) + STARTING_SECONDS > HOUR:
        yield "a run that starts late checks the slice of the next hour"
    if spec.get("concurrencyPolicy") != "Forbid":
        yield "two runs may read at the same time"


def _run(manifests: Manifests, workload: Workload) -> Iterator[str]:
    (container,) = workload.containers
    name, *arguments = container.spec["args"]
    if (container.program, name) != ("sagactl", "audit"):
        yield f"it runs {name} of {container.program}"
        return
    try:
        given = audit.make_context(name, [*arguments]).params
    except click.ClickException as error:
        yield f"it does not start: {error}"
        return
    if (given["slices"] or 1) < 2 or given["every"] != HOUR:
        yield "the slices do not have their turn one after the other, an hour each"
    needed = STARTING_SECONDS + given["seconds"] + given["wait"] + given["linger"]
    deadline = workload.spec.get("activeDeadlineSeconds", 0)
    if not needed <= deadline < HOUR:
        yield f"a run may take {needed:.0f} s and is ended after {deadline} s"
    if (workload.spec.get("backoffLimit"), workload.pod.get("restartPolicy")) != (0, "Never"):
        yield "a run whose records do not balance is repeated"
    if "ttlSecondsAfterFinished" not in workload.spec:
        yield "finished runs are never deleted"
    for monitoring in manifests.of("PodMonitoring"):
        for endpoint in monitoring["spec"]["endpoints"]:
            scraped = SCRAPES * int(endpoint["interval"].rstrip("s")) + DISCOVERY_SECONDS
            if given["linger"] < scraped:
                yield f"its result is served for {given['linger']:.0f} s, and scraped within {scraped} s"
