"""A scenario: what clients do in a run of a simulation, what must hold, and the outcome."""

from collections import Counter
from collections.abc import Coroutine, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sagakit.backends import Backend
from sagakit.bus import Message
from sagakit.testing.backends import Commit

if TYPE_CHECKING:
    from sagakit.testing.process import SimulatedProcess
    from sagakit.testing.world import World


@dataclass
class Outcome:
    """The result of a run."""

    seed: int
    sagas: int
    problems: list[str] = field(default_factory=list)
    """The broken promises."""
    counts: Counter[str] = field(default_factory=Counter)
    """The figures of the scenario."""
    reached: Counter[str] = field(default_factory=Counter)
    """Names of what the run has reached, with counts."""
    kills: int = 0
    drains: int = 0
    """Processes that were restarted as in a rolling restart, and had the time to finish."""
    expired: Counter[str] = field(default_factory=Counter)
    """How many entities of each kind have expired."""
    deliveries: int = 0
    lost: int = 0
    """Messages that were delivered, and lost before they were acknowledged."""
    digest: int = 0
    """Checksum of the run, equal for equal seeds."""


class Scenario:
    """The work of clients in a run, and the promises to keep. Subclass it, and override what is needed."""

    def __init__(self, world: "World") -> None:
        self.world = world

    async def prepare(self) -> None:
        """Do what comes before the first client, for example create a catalogue."""

    async def client(self, number: int) -> None:
        """Begin one saga, as a client does: call services (`world.call`) or publish (`world.publish`).

        `number`: from 0. A SagaError or TimeoutError that it raises is a problem.
        """

    def committed(self, commit: Commit) -> Iterable[str]:
        """Return the promises that a commit breaks. It is called after each one."""
        return ()

    async def problems(self) -> Iterable[str]:
        """Return what is still wrong when no more faults are injected.

        It is called repeatedly, for up to two hours of virtual time, until it returns nothing.
        """
        return ()

    def connect(self, process: "SimulatedProcess", backend: Backend) -> Backend:
        """Return the backend that a process gets when it starts, for example a wrapper."""
        return backend

    def published(self, topic: str, messages: Sequence[Message]) -> None:
        """Note what the broker has accepted, before it is delivered."""

    def injections(self) -> Sequence[Coroutine[Any, Any, None]]:
        """Return faults of the scenario's own: each is cancelled when no more faults are injected."""
        return ()

    def describe(self) -> str:
        """Return what is particular about this scenario in this run, as a line of a report."""
        return ""

    def expects(self, dead_letter: Message) -> bool:
        """Whether a dead letter is no problem."""
        return False
