"""Planted bugs that show when a replica is lost for good, or an edge is clogged."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any
from unittest.mock import patch

from sagakit.bus import Message
from sagakit.errors import Unavailable
from sagakit.tables import Insert, Key, Mutation, Row
from sagakit.testing.backends import FaultyBus, FaultyTables
from tests.simulation.bug import Planted, bug
from tests.simulation.faults import NO_MESSAGE_LOSS, STRICKEN
from tests.simulation.observer import OUTBOXES


@bug(faults=replace(STRICKEN, dropped=0, emptied=0), reminders=False)
def a_process_sweeps_only_what_it_has_committed() -> Planted:
    """Events that a lost process has not published stay in the outbox."""
    committed_by: dict[Key, str] = {}
    commit, due = FaultyTables.commit, FaultyTables.due

    async def noting(self: FaultyTables, mutations: Sequence[Mutation]) -> None:
        for each in mutations:
            if isinstance(each, Insert) and self.process is not None:
                committed_by[each.key] = self.process.name
        await commit(self, mutations)

    async def own(self: FaultyTables, kind: str, *how: Any) -> list[tuple[Key, Row]]:
        rows = await due(self, kind, *how)
        name = "" if self.process is None else self.process.name
        return [each for each in rows if kind not in OUTBOXES or committed_by.get(each[0]) == name]

    return patch.multiple(FaultyTables, commit=noting, due=own)


_ONLY_CLOGS = replace(
    NO_MESSAGE_LOSS, outage_seconds=0, unavailable=0, publish_unknown=0, clogs_per_minute=20
)


@bug(faults=_ONLY_CLOGS, reminders=False)
def a_publish_that_gets_no_response_counts_as_published() -> Planted:
    async def publish(self: FaultyBus, topic: str, messages: Sequence[Message]) -> None:
        with suppress(Unavailable):
            await original(self, topic, messages)

    original = FaultyBus.publish
    return patch.object(FaultyBus, "publish", publish)
