"""docs/game-day.md has every experiment, and names only alarms that exist."""

import re
from pathlib import Path

import pytest

from tests.chaos.game_day import EXPERIMENTS
from tests.chaos.on_cluster import ClusterStage
from tests.chaos.stage import NotPossibleError
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
