"""Visit every reachable state breadth-first, and check each one."""

import time
from array import array
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from tests.model.world import State, World

Check = Callable[[State], str | None]
"""Returns the violated promise, or None."""


@dataclass(frozen=True, slots=True)
class Explored:
    """The result of an exploration."""

    states: int
    transitions: int
    depth: int
    """Transitions from the checkout to the most distant state, by the shortest path."""
    seconds: float
    records: int
    """Different records of all services together."""
    ends: int
    """States in which everything is settled."""
    violation: str | None = None
    story: tuple[str, ...] = ()
    """The shortest path to the violation."""

    def __str__(self) -> str:
        counts = f"{self.states:,} states, {self.ends:,} of them settled, {self.transitions:,} transitions"
        found = f"{counts}, depth {self.depth}, {self.seconds:.0f} s"
        if self.violation is None:
            return found
        steps = [f"  {number}. {what}" for number, what in enumerate(self.story, 1)]
        return "\n".join([found, f"violated: {self.violation}", *steps])


class Exploration:
    """The states reached so far, with the shortest way to each."""

    def __init__(self, world: World, start: State) -> None:
        self._world = world
        self._numbers = {start: 0}
        self._states = [start]
        self._parents = array("q", [-1])
        self._depths = array("q", [0])
        self._fair_from, self._fair_to = array("q"), array("q")
        self._transitions = 0

    def run(self, check: Check, is_end: Callable[[State], bool]) -> Explored:
        """Visit all states, until one violates `check` or cannot reach an end by what must happen."""
        started = time.monotonic()
        ends = array("q")
        for at, state in enumerate(self._states):
            violation = check(state)
            if violation:
                break
            if is_end(state):
                ends.append(at)
            self._visit(at, state)
        else:
            at = self._stuck(ends)
            violation = "no end can be reached" if at >= 0 else None
        return Explored(
            len(self._states),
            self._transitions,
            self._depths[-1],
            time.monotonic() - started,
            len({state.records for state in self._states}),
            len(ends),
            violation,
            self._story(at) if violation else (),
        )

    def _visit(self, number: int, state: State) -> None:
        for _, after, fair in self._world.edges(state):
            self._transitions += 1
            found = self._numbers.setdefault(after, len(self._states))
            if found == len(self._states):
                self._states.append(after)
                self._parents.append(number)
                self._depths.append(self._depths[number] + 1)
            if fair:
                self._fair_from.append(number)
                self._fair_to.append(found)

    def _stuck(self, ends: Iterable[int]) -> int:
        """Return the first state from which no fair path leads to an end; -1 if there is none."""
        before: list[list[int]] = [[] for _ in self._states]
        for origin, to in zip(self._fair_from, self._fair_to, strict=True):
            before[to].append(origin)
        good = bytearray(len(self._states))
        waiting = list(ends)
        for number in waiting:
            good[number] = 1
        while waiting:
            for origin in before[waiting.pop()]:
                if not good[origin]:
                    good[origin] = 1
                    waiting.append(origin)
        return good.find(0)

    def _story(self, number: int) -> tuple[str, ...]:
        path = [number]
        while self._parents[path[-1]] >= 0:
            path.append(self._parents[path[-1]])
        states = [self._states[each] for each in reversed(path)]
        return tuple(
            next(what for what, to, _ in self._world.edges(before) if to == after)
            for before, after in zip(states, states[1:], strict=False)
        )
