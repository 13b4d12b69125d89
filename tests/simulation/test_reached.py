"""The names that a campaign must reach are derived from the tables, and one that does not reach it fails."""

from dataclasses import replace

import pytest

from contract.tickets import APPROVED, PAID, PAYMENT_FAILED, RESERVE_FAILED
from sagakit.testing.campaign import Campaign
from sagakit.testing.simulation import SimulationFailed
from services.purchase.ticket import TRANSITIONS, Transition
from tests.simulation.reached import MUST_REACH, cells
from tests.simulation.worlds import CAMPAIGN


def test_every_cell_and_reaction_is_among_what_must_be_reached():
    table = {(status, report) for status, row in TRANSITIONS.items() for report in row}
    named = {each for each in MUST_REACH if each.startswith("ticket ")}

    assert len(named) == len(table) + 2, "each cancellation has two causes"
    assert len(set(MUST_REACH)) == len(MUST_REACH)
    assert "payment reacts to reserve-failed" in MUST_REACH


def test_campaign_names_the_cell_that_is_never_reached():
    """Stock answers an order once only, so that none of these runs reaches this cell."""
    never = f"ticket {PAYMENT_FAILED}: {PAID}"
    honest = replace(CAMPAIGN, must_reach=(never, "ticket pre-approved: reserved"), draw=None)

    with pytest.raises(SimulationFailed) as failed:
        honest.check(sagas=40)

    assert str(failed.value) == f"never reached within 40 sagas:\n- {never}"


def test_cell_that_nothing_can_reach_is_noticed():
    """Stock does not reject an order that it has reserved."""
    row = {**TRANSITIONS[APPROVED], RESERVE_FAILED: Transition(publish=True)}
    campaign = Campaign(replace(CAMPAIGN, must_reach=cells({**TRANSITIONS, APPROVED: row})))

    assert campaign.run(sagas=20) is None

    assert f"ticket {APPROVED}: {RESERVE_FAILED}" in campaign.unreached
