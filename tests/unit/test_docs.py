"""The documentation says what the code does."""

import json
from pathlib import Path

from contract import topology
from contract.json import to_json
from contract.tickets import (
    APPROVED,
    PAID,
    PAYMENT_FAILED,
    PRE_APPROVED,
    RESERVE_FAILED,
    RESERVED,
    CartItem,
    TicketMessage,
)
from rpc.purchase_pb2 import CartItem as CartItemPb
from rpc.purchase_pb2 import OrderTicket
from services.purchase.ticket import CLOSED_AS_FAILED, MOVES, Move

ROOT = Path(__file__).parents[2]
REPORTS = (RESERVED, RESERVE_FAILED, PAID, PAYMENT_FAILED)


def in_words(move: Move | None) -> str:
    if move is None:
        return "–"
    if move.to is None:
        return "say again if it is marked `again`" if move.if_again else "say again"
    return f"→ `{move.to}`" + (", say" if move.say else "")


def test_the_architecture_shows_the_ticket_table_as_it_is():
    rows = [*((f"`{status}`", MOVES[status]) for status in (PRE_APPROVED, RESERVED, APPROVED))]
    rows.append(("closed as failed", CLOSED_AS_FAILED))
    table = [
        f"| {name} | {' | '.join(in_words(moves.get(report)) for report in REPORTS)} |"
        for name, moves in rows
    ]

    architecture = (ROOT / "docs/architecture.md").read_text()

    assert "\n".join(table) in architecture
    assert [status for status in MOVES if MOVES[status] is CLOSED_AS_FAILED] == [
        RESERVE_FAILED,
        PAYMENT_FAILED,
    ]


def test_the_architecture_names_every_topic():
    architecture = (ROOT / "docs/architecture.md").read_text()

    assert topology.DEAD_LETTER_TOPIC in architecture
    for service in topology.LISTENS_TO:
        assert topology.TOPICS[service] in architecture


def test_every_decision_is_short_and_numbered():
    for number, decision in enumerate(sorted((ROOT / "docs/decisions").glob("*.md")), start=1):
        text = decision.read_text()
        assert text.startswith(f"# {number}. "), decision
        assert decision.name.startswith(f"{number:04}-")
        assert len(text.splitlines()) <= 30, decision


def test_the_events_body_is_the_proto_message_as_json():
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
