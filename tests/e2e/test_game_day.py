"""`make game-day` under real load: RUNNING=1, and GATEWAY=… with a fake kubectl."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Mapping
from itertools import chain
from pathlib import Path

from sagakit.ctl.local.control_client import request
from tests.chaos.on_cluster import NODES, NODES_OF_PODS
from tests.chaos.run import QUICK_REMINDERS
from tests.support.local_suite import LocalSuite, ready_suite

ROOT = Path(__file__).parents[2]
KUBECTL = """#!/bin/sh
printf '%s\\n' "$*" >>"$CALLS"
case "$*" in
*"get nodes"*) printf '%s\\n' "master NoSchedule" "node-1" "node-2" ;;
*firestore*) echo node-2 ;;
*jsonpath*) echo node-1 node-2 ;;
*"--output name"*) echo pod/victim ;;
*"$FAILS"*) exit 1 ;;
esac
"""
SERVICES = ("purchase", "stock", "payment", "delivery", "gateway")
DEPLOYMENTS = " ".join(f"deployment/{name}" for name in SERVICES)


def test_experiments_on_a_cluster_cause_faults_by_kubectl_and_end_with_the_audit(tmp_path: Path):
    tool = tmp_path / "kubectl"
    tool.write_text(KUBECTL)
    tool.chmod(0o755)
    with ready_suite(tmp_path) as local:
        calls = tmp_path / "calls"
        environ = {
            **os.environ,
            "PATH": f"{tmp_path}:{os.environ['PATH']}",
            "CALLS": str(calls),
            "GOOGLE_CLOUD_PROJECT": "none",
            "BACKEND": "embedded",
            "EMBEDDED_FILE": str(local.run_dir / "embedded.sqlite3"),
        }

        def game_day(*names: str, fails: str = "nothing") -> subprocess.CompletedProcess[str]:
            argv = (*names, "--gateway", local.facts["gateway"])
            return performed({**environ, "FAILS": fails}, *argv)

        done = game_day("pod-killed", "node-drained", "poison-published", "rollback", "restore")
        seen = calls.read_text().splitlines()
        failed = game_day("rollback", fails="undo")

    assert done.returncode == 0, done.stdout + done.stderr
    assert "skipped: a backup is restored by hand" in done.stdout
    assert "3 dead letters" in done.stdout
    assert seen == calls_of_kubectl()
    assert failed.returncode == 1
    assert failed.stdout.splitlines()[-1] == f"  kubectl rollout undo {DEPLOYMENTS}: exit status 1"


def test_experiments_on_a_running_suite_cause_faults_in_its_processes_and_end_with_the_audit(tmp_path: Path):
    with ready_suite(tmp_path, environ={"REPLICAS": "2", **QUICK_REMINDERS}) as local:
        before = pids(local)
        done = performed(
            {**os.environ, "RUN_DIR": str(local.run_dir)},
            *("pod-killed", "node-drained", "broker-emptied", "rollback", "restore", "hot-item", "--running"),
        )
        after = pids(local)

    assert done.returncode == 0, done.stdout + done.stderr
    assert {*SERVICES} == {name for name in SERVICES if f"kill -9 of {name}" in done.stdout}
    assert {name for name in before if before[name] != after[name]} == {*before}
    assert "the broker loses every message" in done.stdout
    assert "skipped: a backup is restored by hand" in done.stdout
    assert "--rate 32 --wait 60 --interval 1 --drain 660 --item blue --in-flight 32 &" in done.stdout
    assert "answers: {'accepted': " in done.stdout
    assert done.stdout.splitlines()[-1] == "no order lost, duplicated or unfinished: everything balances"


def performed(environ: Mapping[str, str], *argv: str) -> "subprocess.CompletedProcess[str]":
    """Perform experiments whose faults last a second."""
    return subprocess.run(
        [sys.executable, "-m", "tests.chaos.game_day", *argv, "--seconds", "1"],
        cwd=ROOT,
        env=environ,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def pids(local: LocalSuite) -> dict[str, int]:
    """Return the pid of each process of the suite."""
    running = asyncio.run(request(Path(local.facts["control"]), "ps", ""))
    return {process["name"]: process["pid"] for process in running}


def calls_of_kubectl() -> list[str]:
    """Return the calls for the experiments pod-killed, node-drained and rollback."""
    get = "--namespace saga get pods --selector app.kubernetes.io/name"
    killed = [
        (f"{get}={name} --output name", "--namespace saga delete pod/victim --grace-period=0 --force")
        for name in SERVICES
    ]
    return [
        *chain.from_iterable(killed),
        f"--namespace saga get nodes --output {NODES}",
        f"{get} in (firestore,pubsub) --output {NODES_OF_PODS}",
        f"{get} in (purchase) --output {NODES_OF_PODS}",
        "--namespace saga drain node-1 --ignore-daemonsets --delete-emptydir-data --timeout=600s",
        "--namespace saga uncordon node-1",
        f"--namespace saga rollout restart {DEPLOYMENTS}",
        f"--namespace saga rollout undo {DEPLOYMENTS}",
        *(f"--namespace saga rollout status deployment/{name} --timeout=600s" for name in SERVICES),
    ]
