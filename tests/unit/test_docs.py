"""The documentation agrees with the code."""

import json
from pathlib import Path

import pytest

from contract import topology
from contract.json import to_json
from contract.tickets import RESERVED, CartItem, TicketMessage
from rpc.purchase_pb2 import CartItem as CartItemPb
from rpc.purchase_pb2 import OrderTicket
from sagactl.diagram import redrawn

ROOT = Path(__file__).parents[2]


def test_architecture_shows_the_transition_tables():
    architecture = (ROOT / "docs/architecture.md").read_text()

    assert redrawn(architecture) == architecture, "regenerate it: make docs"


def test_diagram_without_a_placeholder_is_an_error():
    with pytest.raises(LookupError):
        redrawn("no placeholder")


def test_architecture_names_every_topic():
    architecture = (ROOT / "docs/architecture.md").read_text()

    assert topology.DEAD_LETTER_TOPIC in architecture
    for service in topology.LISTENS_TO:
        assert topology.TOPICS[service] in architecture


def test_decisions_are_short_and_named_by_their_titles():
    for decision in sorted((ROOT / "docs/decisions").glob("*.md")):
        text = decision.read_text()
        assert text.startswith(f"# {int(decision.name[:4])}. "), decision
        assert decision.name[4] == "-"
        assert len(text.splitlines()) <= 30, decision


def test_event_body_is_the_proto_message_as_json():
    message = TicketMessage("o", RESERVED, (CartItem("blue", 3),), 300, "why")
    proto = OrderTicket(
        orderid="o",
        status=RESERVED,
        cart_items=[CartItemPb(itemid="blue", count=3)],
        amount=300,
        reason="why",
    )

    assert json.loads(message.to_event("e", {}).body) == to_json(proto)
    bare = TicketMessage("o", RESERVED, (CartItem("blue", 3),))
    assert "amount" not in json.loads(bare.to_event("e", {}).body)
    assert set(to_json(OrderTicket())) == {"orderid", "status", "cart_items"}
