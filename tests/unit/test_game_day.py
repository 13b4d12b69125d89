"""docs/game-day.md has every experiment, and names only alarms that exist."""

import asyncio
import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any

import pytest

from contract.topology import TOPOLOGY
from sagactl.load import Ledger
from sagakit.ctl.local.runfile import Suite, write_suite
from tests.chaos.game_day import EXPERIMENTS
from tests.chaos.on_cluster import ClusterStage
from tests.chaos.on_suite import SuiteStage, on_suite
from tests.chaos.running import Printed
from tests.chaos.stage import NotPossibleError, Stage
from tests.monitoring import rules

PAGE = (Path(__file__).parents[2] / "docs/game-day.md").read_text()
ROWS = dict(re.findall(r"^\| `([a-z-]+)` \|(.*)\|$", PAGE, re.MULTILINE))


def test_page_has_every_experiment():
    assert [*ROWS] == [*EXPERIMENTS]


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_page_names_the_alarms_of_an_experiment(name: str):
    *_, alarms = ROWS[name].split("|")

    assert re.findall(r"`(\w+)`", alarms) == [*EXPERIMENTS[name].alarms]
    assert {*EXPERIMENTS[name].alarms} <= {*rules.alerts()}


class Cluster(ClusterStage):
    """A stage whose kubectl knows nodes, and the pods on them."""

    def __init__(self, nodes: str, emulators: str, purchase: str) -> None:
        super().__init__("http://gateway")
        self._answers = {"get nodes": nodes, "firestore": emulators, "purchase": purchase}
        self.calls: list[str] = []

    async def kubectl(self, *argv: str) -> str:
        self.calls.append(" ".join(argv))
        return next((text for part, text in self._answers.items() if part in self.calls[-1]), "")


@pytest.mark.parametrize(
    ("nodes", "emulators", "purchase"),
    [
        ("a\nb NoSchedule", "", "a"),
        ("a\nb NoExecute", "", "a"),
        ("a\nb", "a", "a a"),
        ("a\nb", "a b", "a b"),
    ],
    ids=["only one is ready", "another one is lost", "beside an emulator", "both beside one"],
)
async def test_node_that_must_stay_is_not_drained(nodes: str, emulators: str, purchase: str):
    """Known faults: with one node the second eviction was rejected until the timeout; orders were lost."""
    cluster = Cluster(nodes, emulators, purchase)

    with pytest.raises(NotPossibleError):
        async with cluster.drained_node():
            pass

    assert not [call for call in cluster.calls if "drain" in call or "cordon" in call]


async def test_node_without_an_emulator_is_drained_and_comes_back():
    cluster = Cluster("a\nb PreferNoSchedule\n", "a", "a b a")

    async with cluster.drained_node():
        assert cluster.calls[-1].startswith("drain b ")

    assert cluster.calls[-1] == "uncordon b"


async def test_figures_of_a_running_load_are_read():
    """Known fault: `retried` was always 0 on a cluster, so that "No request fails" was not checked."""
    stream = asyncio.StreamReader()
    printed = Printed(stream)
    first = Ledger(accepted=3, retried=Counter(Unavailable=1), failed=Counter(Conflict=4))
    for ledger in (first, Ledger(accepted=7, retried=Counter(Unavailable=2), skipped=5)):
        stream.feed_data(f"{ledger}\n".encode())
        await printed.further(1)

    assert printed.figures == {"accepted": 7, "not accepted": 0, "skipped": 5, "retried": 2}
    stream.feed_eof()
    await printed.further(10)


class Running(SuiteStage):
    """A stage of a suite with these processes, and nothing else."""

    def __init__(self, run_dir: Path, *names: str) -> None:
        write_suite(run_dir, Suite(os.getpid(), "emulators", "http://gateway", {}, {}, "control"))
        super().__init__(run_dir)
        self._names = names
        self.calls: list[str] = []

    async def _processes(self) -> Sequence[Mapping[str, Any]]:
        return [{"name": name, "pid": None} for name in self._names]

    async def sagactl(self, *argv: str) -> str:
        self.calls.append(" ".join(argv))
        return ""


async def test_only_replica_of_a_service_is_neither_drained_nor_rolled_back(tmp_path: Path):
    running = Running(tmp_path, "gateway", *TOPOLOGY.names)

    for each in (running.drained_node, running.half_rolled_out):
        with pytest.raises(NotPossibleError, match="REPLICAS=2"):
            async with each():
                pass

    assert running.calls == []


async def test_first_replica_of_each_service_is_drained_and_comes_back(tmp_path: Path):
    running = Running(tmp_path, "gateway", *(f"{name}-{n}" for name in TOPOLOGY.names for n in (1, 2)))

    with suppress(ZeroDivisionError):
        async with running.drained_node():
            assert sorted(running.calls) == sorted(f"stop {name}-1" for name in TOPOLOGY.names)
            running.calls.clear()
            raise ZeroDivisionError

    assert sorted(running.calls) == sorted(f"start {name}-1" for name in TOPOLOGY.names)


@pytest.mark.parametrize(("name", "empties"), [("pubsub-emulator", True), ("firestore-emulator", False)])
async def test_broker_is_emptied_if_the_suite_has_started_it(tmp_path: Path, name: str, empties: bool):
    running = Running(tmp_path, name)

    with nullcontext() if empties else pytest.raises(NotPossibleError):
        await running.empty_broker()

    assert running.calls == ["restart pubsub-emulator"] * empties


async def test_service_without_a_running_process_is_a_problem(tmp_path: Path):
    running = Running(tmp_path, "stock")

    await running.kill("stock")

    assert running.problems == ["no process of stock was running"]


async def test_experiments_need_a_suite_that_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("RUN_DIR", str(tmp_path))

    async def perform(stage: Stage, name: str) -> None:
        raise AssertionError

    assert await on_suite(["pod-killed"], perform) == [f"no suite runs in {tmp_path}"]
