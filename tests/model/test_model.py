"""Every reachable state of an order keeps the promises; and planted bugs, each of which must be found."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any
from unittest.mock import patch

import pytest

from contract.tickets import APPROVED, CANCELED, PAID, PRE_APPROVED, RESERVED
from sagakit.store import Changes
from sagakit.tables import Entity, Key, Mutation
from sagakit.testing.tables import MemoryTables
from services.payment.charge import CHARGING
from services.payment.storage import PAYMENT
from services.payment.usecases import UseCases as Payment
from services.purchase.ticket import TRANSITIONS, Transition
from services.stock import inventory
from services.stock import usecases as stock
from services.stock.inventory import Allocation, Shard
from services.stock.usecases import UseCases as Stock
from tests.model.shops import STARTS, Start, explore
from tests.simulation.planted_bugs import BUGS, inserts

SIMULATED = {bug.name: bug.plant for bug in BUGS}


@pytest.mark.parametrize("start", STARTS, ids=lambda start: start.name)
def test_every_reachable_state_keeps_the_promises_and_can_reach_an_end(start: Start):
    found = explore(start)

    assert found.violation is None, str(found)
    assert found.ends


@pytest.mark.parametrize("start", STARTS[3:5], ids=lambda start: start.name)
def test_losing_messages_one_by_one_reaches_no_other_records(start: Start):
    assert explore(start, 1, loses_each=True).records == explore(start, 1).records


def _sends_no_reminders(service: Any) -> AbstractContextManager[Any]:
    return patch.object(service, "remind", lambda *_: Changes(False))


def _charges_without_an_intention() -> AbstractContextManager[Any]:
    async def commit(self: MemoryTables, mutations: Sequence[Mutation]) -> None:
        await original(self, [each for each in mutations if not inserts(each, PAYMENT, status=CHARGING)])

    original = MemoryTables.commit
    return patch.object(MemoryTables, "commit", commit)


def _reserves_what_it_does_not_have() -> AbstractContextManager[Any]:
    def allocate(itemid: str, count: int, _: int, shards: Mapping[int, Shard]) -> list[Allocation]:
        return [Allocation(itemid, number, count) for number in [*shards][:1]]

    return patch.object(inventory, "_allocate", allocate)


def _changes_one_shard_only() -> AbstractContextManager[Any]:
    def changed(*args: Any) -> dict[Key, Entity]:
        return dict([*original(*args).items()][:1])

    original = stock._changed
    return patch.object(stock, "_changed", changed)


PLANTED = {
    "a charge without a record of the intention": _charges_without_an_intention,
    "paid approves a failed ticket": SIMULATED["paid_approves_a_failed_ticket"],
    "a failed ticket does not answer": SIMULATED["a_failed_ticket_does_not_answer_late_reports"],
    "stock releases sold units": SIMULATED["stock_releases_sold_units"],
    "refunds are not idempotent": SIMULATED["refunds_are_not_idempotent"],
    "a cancellation is not final": SIMULATED["a_cancellation_is_not_final"],
    "every attempt charges": SIMULATED["every_attempt_charges"],
    "an approved ticket does not answer reminders": lambda: patch.dict(TRANSITIONS[APPROVED], clear=True),
    "a paid ticket is canceled": lambda: patch.dict(
        TRANSITIONS[APPROVED], {PAID: Transition(CANCELED, publish=True)}
    ),
    "an order is approved when it is reserved": lambda: patch.dict(
        TRANSITIONS[PRE_APPROVED], {RESERVED: Transition(APPROVED, publish=True)}
    ),
    "stock sends no reminders": lambda: _sends_no_reminders(Stock),
    "payment sends no reminders": lambda: _sends_no_reminders(Payment),
    "released units are gone": lambda: patch.object(inventory, "released", inventory.sold),
}
SHARDED = {
    "stock reserves what it does not have": _reserves_what_it_does_not_have,
    "stock changes only one shard of an order": _changes_one_shard_only,
}


@pytest.mark.parametrize("bug", PLANTED)
def test_planted_bug_is_found(bug: str):
    with PLANTED[bug]():
        # Paid or declined; some bugs need two operations at once.
        found = (explore(start, max_running) for max_running in (1, 2) for start in STARTS[:2])

        assert any(each.violation for each in found)


@pytest.mark.parametrize("bug", SHARDED)
def test_planted_bug_of_two_orders_is_found(bug: str):
    with SHARDED[bug]():
        assert explore(STARTS[-1], max_running=1).violation


def test_violation_comes_with_the_shortest_path_to_it():
    with PLANTED["stock releases sold units"]():
        found = explore(STARTS[0], max_running=1)

    assert found.story == (
        "stock receives purchase's pre-approved of order-1",
        "the client cancels order-1",
        "stock receives purchase's canceled of order-1",
    )
