"""Hundreds of sagas under injected faults; and planted bugs, each of which the simulation must find."""

from dataclasses import replace

import pytest

from contract.topology import TOPOLOGY
from sagakit.inbox import inbox_kind
from tests.simulation.bug import Bug
from tests.simulation.faults import (
    FOLLOWED,
    FORGING,
    MIXED,
    NO_MESSAGE_LOSS,
    OPERATED,
    PAYMENT_DIES,
    SKEWED,
    STRICKEN,
    UNRELIABLE,
    VERY_SKEWED,
)
from tests.simulation.planted_bugs import BUGS
from tests.simulation.planted_operation_bugs import WITHOUT_LOSS
from tests.simulation.shop import simulate

RUN_SAGAS = 250
BUG_RUNS = ((30, 3), (60, 3), (120, 8), (RUN_SAGAS, 4))
"""Runs of which one shows every planted bug: sagas, and how many seeds.

The smallest come first: most bugs show in them.
"""


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize(
    "faults",
    [UNRELIABLE, SKEWED, VERY_SKEWED, FORGING, MIXED, PAYMENT_DIES, OPERATED, STRICKEN, FOLLOWED],
    ids=[
        "unreliable",
        "skewed",
        "very-skewed",
        "forging",
        "mixed",
        "payment-dies",
        "operated",
        "stricken",
        "followed",
    ],
)
def test_every_saga_ends_and_everything_balances(faults, seed: int):
    outcome = simulate(seed, RUN_SAGAS, faults)

    assert outcome.problems == []
    assert outcome.kills > 20
    assert {"approved", "canceled", "payment-failed", "reserve-failed"} <= set(outcome.counts)


def test_messages_are_delivered_and_lost():
    assert any(simulate(seed, RUN_SAGAS, UNRELIABLE).lost for seed in range(10))


@pytest.mark.parametrize("seed", range(2))
def test_without_message_loss_no_reminders_are_needed(seed: int):
    assert simulate(seed, RUN_SAGAS, NO_MESSAGE_LOSS, reminders=False).problems == []


@pytest.mark.parametrize("faults", [OPERATED, STRICKEN, FOLLOWED], ids=["operated", "stricken", "followed"])
def test_a_seed_replays_a_run_exactly(faults):
    digests = {simulate(7, 100, faults).digest for _ in range(3)}
    other = simulate(8, 100, faults).digest

    assert len(digests) == 1
    assert other not in digests


def test_statuses_of_a_newer_release_are_applied_by_its_replicas_or_acknowledged_after_a_while():
    outcome = simulate(3, RUN_SAGAS, MIXED)

    assert outcome.problems == []
    assert outcome.counts["applied"] > 10
    assert outcome.counts["acknowledged"], "no service was without a replica that knows the status"


def test_operators_redrive_and_restart_and_what_expires_is_deleted():
    outcome = simulate(3, RUN_SAGAS, OPERATED)

    assert outcome.problems == []
    assert outcome.drains > 30
    assert outcome.counts["redriven"] > 10
    assert set(outcome.expired) >= {inbox_kind(service) for service in TOPOLOGY.names}


def test_some_clients_order_through_the_gateway():
    outcome = simulate(1, 100, FOLLOWED)

    assert outcome.problems == []
    assert outcome.reached["fault through_gateway"] > 15


def test_without_message_loss_what_a_defect_made_a_dead_letter_is_only_redriven():
    outcome = simulate(1, RUN_SAGAS, replace(WITHOUT_LOSS, poisoned=0.1), reminders=False)

    assert outcome.problems == []


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_planted_bug_is_caught(bug: Bug):
    with bug.plant():
        for sagas, seeds in BUG_RUNS:
            for seed in range(seeds):
                if simulate(seed, sagas, bug.faults, reminders=bug.reminders).problems:
                    return

    pytest.fail(f"not found in {BUG_RUNS}")
