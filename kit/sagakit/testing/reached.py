"""Counters of what runs have reached: a place that a campaign never reaches was not tested."""

from collections import Counter
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

from sagakit.errors import SagaError
from sagakit.observer import Observer, Report
from sagakit.tables import Mutation, Tables

if TYPE_CHECKING:
    from sagakit.bus import Delivery

TAKEN_OVER = "an event is published by another process than the one that committed it"
"""A row of the outbox was left behind, and a sweeper claimed it."""
HALF_FAILED = "of the transactions of a failed commit some succeed and others fail"
"""A shared commit failed, and its transactions were repeated one by one."""
REMINDERS_PAUSED = "reminders pause because their service is saturated"
"""The replies that they ask for may be in its queue."""


class CountingObserver(Observer):
    """Counts what became of the deliveries to a process: `SERVICE: event OUTCOME`."""

    def __init__(self, service: str, reached: Counter[str]) -> None:
        self._prefix = f"{service}: event "
        self._reached = reached
        self._delivery: AbstractContextManager[Report] = nullcontext(self._settled)

    def delivery(self, _: str, __: "Delivery") -> AbstractContextManager[Report]:
        return self._delivery

    def ignored(self, _: str) -> None:
        self._settled("ignored")

    def reminding(self, *, active: bool) -> None:
        if not active:
            self._reached[REMINDERS_PAUSED] += 1

    def _settled(self, outcome: str, *_: object) -> None:
        self._reached[self._prefix + outcome] += 1


class SharedCommits(Observer):
    """One process's tables below the batching, whose observer it is: notices a batch that half fails."""

    def __init__(self, tables: Tables, reached: Counter[str]) -> None:
        self.lookup, self.due, self.page, self.expire = tables.lookup, tables.due, tables.page, tables.expire
        self._tables = tables
        self._reached = reached
        self._transactions = 0
        """Of the commit that follows at once."""
        self._failed: Sequence[Mutation] = ()
        """The mutations of the last batch that failed: its transactions are repeated one by one."""
        self._ends: set[bool] = set()

    def sent_commit(self, transactions: int) -> None:
        self._transactions = transactions

    async def commit(self, mutations: Sequence[Mutation]) -> None:
        """See `Tables.commit`."""
        is_shared = self._transactions > 1
        is_part = not is_shared and any(each is mutations[0] for each in self._failed)
        try:
            await self._tables.commit(mutations)
        except SagaError:
            if is_shared:
                self._failed, self._ends = mutations, set()
            self._ended(is_part, succeeded=False)
            raise
        self._ended(is_part, succeeded=True)

    def _ended(self, is_part: bool, *, succeeded: bool) -> None:
        if is_part:
            self._ends.add(succeeded)
            self._reached[HALF_FAILED] += len(self._ends) > 1
