"""A campaign: runs with consecutive seeds, and what they have done and reached together."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from sagakit.testing.scenario import Outcome

if TYPE_CHECKING:
    from sagakit.testing.simulation import Simulation

RUN_SAGAS = 250
"""Sagas per run, which bounds the memory used."""


def planned(sagas: int, seed: int = 1) -> Iterator[tuple[int, int]]:
    """Yield the runs in which `sagas` sagas end: seed, and sagas."""
    for number, done in enumerate(range(0, sagas, RUN_SAGAS)):
        yield seed + number, min(RUN_SAGAS, sagas - done)


class Campaign:
    """The sums over the runs so far."""

    def __init__(self, simulation: "Simulation") -> None:
        self.simulation = simulation
        self.sagas = self.runs = self.deliveries = self.kills = 0
        self.counts: Counter[str] = Counter()
        """The scenario's figures."""
        self.reached: Counter[str] = Counter()
        """How often each name was reached (`World.reached`)."""

    def run(
        self, sagas: int, seed: int = 1, progress: Callable[["Campaign"], None] = lambda _: None
    ) -> Outcome | None:
        """Run until `sagas` more sagas have ended; return the first outcome in which a promise is broken."""
        return self.collect((self.simulation.run(*each) for each in planned(sagas, seed)), progress)

    def collect(
        self, outcomes: Iterable[Outcome], progress: Callable[["Campaign"], None] = lambda _: None
    ) -> Outcome | None:
        """Add outcomes up to the first in which a promise is broken, and return that one."""
        for outcome in outcomes:
            if outcome.problems:
                return outcome
            self.add(outcome)
            progress(self)
        return None

    def add(self, outcome: Outcome) -> None:
        """Add a run in which every promise was kept."""
        self.runs += 1
        self.sagas += outcome.sagas
        self.deliveries += outcome.deliveries
        self.kills += outcome.kills
        self.counts.update(outcome.counts)
        self.reached.update(outcome.reached)

    @property
    def unreached(self) -> list[str]:
        """The names in `Simulation.must_reach` that no run has reached."""
        return [name for name in self.simulation.must_reach if not self.reached[name]]

    def unreached_report(self) -> str:
        """Return the names that no run has reached, one a line; "" if there are none."""
        if not self.unreached:
            return ""
        return "\n".join(
            [f"never reached within {self.sagas} sagas:", *(f"- {each}" for each in self.unreached)]
        )
