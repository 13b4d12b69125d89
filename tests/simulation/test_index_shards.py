"""The number of index shards changes by a rolling restart in the middle of a run."""

import asyncio
from unittest.mock import patch
from weakref import WeakKeyDictionary

import pytest

from sagakit import due, sweeper
from sagakit.testing.loop import Group, owner
from sagakit.testing.scenario import Outcome
from tests.simulation.faults import UNRELIABLE
from tests.simulation.shop import simulate

FEW, MANY = 4, 16
CHANGED_AT_SECONDS = 150.0
"""Processes that start later have the other number; kills have all of them restart sooner or later."""


class IndexShards:
    """Stands for the constant SHARDS: each process has the number of the release that it was started with."""

    def __init__(self, before: int, after: int) -> None:
        self._before, self._after = before, after
        self.numbers: WeakKeyDictionary[Group, int] = WeakKeyDictionary()

    def __index__(self) -> int:
        group = owner.get()
        number = self._after if asyncio.get_running_loop().time() > CHANGED_AT_SECONDS else self._before
        return number if group is None else self.numbers.setdefault(group, number)

    def __rmod__(self, dividend: int) -> int:
        return dividend % int(self)

    def __rtruediv__(self, dividend: float) -> float:
        return dividend / int(self)


def run_while_shards_change(before: int, after: int, seed: int = 2) -> Outcome:
    shards = IndexShards(before, after)
    with patch.object(due, "SHARDS", shards), patch.object(sweeper, "SHARDS", shards):
        return simulate(seed, 250, UNRELIABLE)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_every_saga_ends_while_the_number_of_index_shards_grows(seed: int):
    assert run_while_shards_change(FEW, MANY, seed).problems == []


def test_with_fewer_index_shards_than_before_rows_are_stranded():
    """Known mistake: nothing sweeps the shards that were removed."""
    problems = run_while_shards_change(MANY, FEW).problems

    assert problems
