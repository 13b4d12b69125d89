"""Planted bugs of shared calls: each gives a caller an answer that is not its own."""

from collections.abc import Sequence
from unittest.mock import patch

from sagakit.batching import _Commits, _Lookups
from sagakit.errors import Contention, OutcomeUnknown
from sagakit.tables import Key, Mutation, Row
from tests.simulation.bug import Planted


def _answered(*errors: type[Exception]) -> Planted:
    """Commits of several transactions that end with one of `errors` count as committed."""
    original = _Commits.together

    async def together(self: _Commits, requests: Sequence[Sequence[Mutation]]) -> Sequence[None]:
        try:
            return await original(self, requests)
        except errors:
            return [None] * len(requests)

    return patch.object(_Commits, "together", together)


def a_shared_commit_that_conflicts_counts_as_committed() -> Planted:
    return _answered(Contention)


def a_shared_commit_without_an_answer_counts_as_committed() -> Planted:
    return _answered(OutcomeUnknown)


def rows_of_a_shared_lookup_are_given_to_one_caller() -> Planted:
    original = _Lookups.together

    async def together(self: _Lookups, requests: Sequence[Sequence[Key]]) -> Sequence[dict[Key, Row]]:
        first, *others = await original(self, requests)
        return [first, *({} for _ in others)]

    return patch.object(_Lookups, "together", together)


BATCHING_BUGS = (
    a_shared_commit_that_conflicts_counts_as_committed,
    a_shared_commit_without_an_answer_counts_as_committed,
    rows_of_a_shared_lookup_are_given_to_one_caller,
)
