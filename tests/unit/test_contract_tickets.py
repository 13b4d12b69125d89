"""The order-ticket event: any JSON decodes to a ticket or Poison; ours can be decoded by any language."""

import json
from collections import defaultdict
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.fields import ID_PATTERN, MAX_AMOUNT, MAX_COUNT
from contract.reactions import Reaction
from contract.tickets import (
    APPROVED,
    CAUSES,
    MAX_STATUS_LENGTH,
    ORDER_TICKET,
    PRE_APPROVED,
    PUBLISHED_BY,
    RESERVE_FAILED,
    RESERVED,
    TERMINAL,
    CartItem,
    TicketMessage,
    must_agree,
)
from contract.topology import TOPOLOGY
from sagaclient import models
from sagakit.errors import Poison
from sagakit.events import Event
from services.delivery.usecases import REACTIONS as DELIVERY
from services.payment.usecases import REACTIONS as PAYMENT
from services.purchase.ticket import TRANSITIONS
from services.stock.usecases import REACTIONS as STOCK

BLUE = CartItem("blue", 3)
ids = st.from_regex(ID_PATTERN, fullmatch=True, alphabet="ABCxyz019._~-")
words = st.text(st.characters(codec="utf-8"), min_size=1, max_size=50)
items = st.builds(CartItem, ids, st.integers(1, MAX_COUNT))
tickets = st.builds(
    TicketMessage,
    orderid=ids,
    status=words.filter(lambda word: word != "reserve_failed"),
    cart_items=st.lists(items, max_size=5).map(tuple),
    amount=st.none() | st.integers(0, MAX_AMOUNT),
    reason=st.none() | words,
)
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)
any_text = st.text(st.sampled_from("aü\ud800\udfff\x00\n"), max_size=5)
almost_a_ticket = st.fixed_dictionaries(
    {"orderid": ids, "status": words | any_text},
    optional={
        "cart_items": st.lists(
            st.fixed_dictionaries({}, optional={"itemid": ids | anything, "count": anything})
        )
        | anything,
        "amount": anything,
        "reason": any_text | anything,
    },
)


def read(body: object) -> TicketMessage:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return TicketMessage.from_event(Event("e1", ORDER_TICKET, data))


def a_body(**fields: object) -> dict[str, object]:
    return {
        "orderid": "o-1",
        "status": "reserved",
        "cart_items": [{"itemid": "blue", "count": 3}],
        **fields,
    }


@given(ticket=tickets)
def test_ticket_survives_encoding_and_decoding(ticket: TicketMessage):
    event = ticket.to_event("e1", {"time": "now"})

    assert (event.type, event.about) == (ORDER_TICKET, {"orderid": ticket.orderid})
    assert TicketMessage.from_event(event) == ticket


@given(body=st.binary() | almost_a_ticket | anything)
def test_any_body_is_a_ticket_or_poison(body: object):
    try:
        ticket = read(body)
    except Poison as poison:
        assert poison.reason.startswith("malformed-ticket")
    else:
        # A decoded ticket can be stored, logged and published.
        ticket.to_event("e1", {}).body.decode().encode()
        "".join([ticket.orderid, ticket.status, ticket.reason or ""]).encode()


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 100_000,
        b'{"orderid": "o", "status": "paid", "cart_items": ' + b"[" * 100_000,
        b'{"orderid": "o", "status": "paid", "amount": ' + b"9" * 100_000 + b"}",
        b'{"orderid": "o", "status": "paid", "amount": "' + b"9" * 100_000 + b'"}',
        b'{"orderid": "o", "status": "paid", "amount": NaN}',
        b'{"orderid": "o", "status": "\\ud800"}',
        b'{"orderid": "o", "orderid": [], "status": "paid"}',
        b'{"orderid": "o", "status": "' + b"s" * 1_000_000 + b'"}',
        b"\xff",
    ],
    ids=("nested", "nested items", "huge", "huge text", "NaN", "surrogate", "repeated", "long", "not UTF-8"),
)
def test_hostile_body_is_poison(body: bytes):
    with pytest.raises(Poison, match="malformed-ticket"):
        read(body)


def test_long_reason_is_cut():
    assert read(a_body(reason="r" * 1_000_000)).reason == "r" * 1_000


def test_status_may_have_a_limited_length():
    longest = "x" * MAX_STATUS_LENGTH

    assert read(a_body(status=longest)).status == longest
    with pytest.raises(Poison, match="status is too long"):
        read(a_body(status=f"{longest}x"))


@pytest.mark.parametrize(
    ("listed", "amount", "on_record", "recorded"),
    [((), None, (BLUE,), 300), ((BLUE,), 300, (), None), ((BLUE,), 300, (BLUE,), 300)],
    ids=["event has neither", "record has neither", "both have both"],
)
def test_only_what_event_and_record_both_have_is_compared(listed, amount, on_record, recorded):
    must_agree(TicketMessage("o-1", APPROVED, listed, amount), on_record, recorded)


def test_body_follows_the_wire_contract():
    ticket = TicketMessage("o-1", "reserved", (CartItem("blue", 3),), 300)

    assert json.loads(ticket.to_event("e1", {}).body) == a_body(amount=300)


def test_fields_that_are_not_set_are_omitted():
    body = json.loads(TicketMessage("o-1", "reserved", ()).to_event("e1", {}).body)

    assert body == {"orderid": "o-1", "status": "reserved", "cart_items": []}


def test_other_spelling_of_reserve_failed_is_accepted():
    assert read(a_body(status="reserve_failed")).status == RESERVE_FAILED


@pytest.mark.parametrize(
    "body", [a_body(cart_items=None), a_body(cart_items=[]), {"orderid": "o", "status": "s"}]
)
def test_missing_items_are_no_items(body):
    assert read(body).cart_items == ()


def test_int64_may_be_a_string_as_in_proto3_json():
    ticket = read(a_body(cart_items=[{"itemid": "blue", "count": "3"}], amount="300"))

    assert ticket.cart_items == (CartItem("blue", 3),)
    assert ticket.amount == 300


def test_unknown_fields_and_statuses_are_accepted():
    ticket = read(
        a_body(status="teleported", colour="blue", cart_items=[{"itemid": "a", "count": 1, "x": {}}])
    )

    assert ticket.status == "teleported"
    assert ticket.cart_items == (CartItem("a", 1),)


def test_empty_reason_is_none():
    assert read(a_body(reason="")).reason is None
    assert read(a_body(reason=None)).reason is None


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"orderid": NaN, "status": "reserved"}',
        b"1" * 10_000,
        {},
        [],
        "text",
        None,
        a_body(orderid=""),
        a_body(orderid=7),
        a_body(orderid="a/b"),
        a_body(orderid="x" * 129),
        a_body(orderid="a\n"),
        a_body(status=None),
        a_body(status=["reserved"]),
        a_body(status="\ud800"),
        a_body(reason="\udfff"),
        a_body(reason=7),
        a_body(cart_items={"itemid": "a"}),
        a_body(cart_items="ab"),
        a_body(cart_items=[{"itemid": "a"}]),
        a_body(cart_items=[{"count": 1}]),
        a_body(cart_items=[{"itemid": "a", "count": 0}]),
        a_body(cart_items=[{"itemid": "a", "count": -1}]),
        a_body(cart_items=[{"itemid": "a", "count": MAX_COUNT + 1}]),
        a_body(cart_items=[{"itemid": "a", "count": 1.5}]),
        a_body(cart_items=[{"itemid": "a", "count": True}]),
        a_body(cart_items=[{"itemid": "a", "count": "1.5"}]),
        a_body(cart_items=[{"itemid": "a", "count": "9" * 5_000}]),
        a_body(cart_items=[None]),
        a_body(amount=-1),
        a_body(amount=2**63),
        a_body(amount=1.5),
        a_body(amount="much"),
    ],
    ids=lambda body: str(body)[:40],
)
def test_invalid_ticket_is_poison(body):
    with pytest.raises(Poison, match="malformed-ticket"):
        read(body)


def test_reason_names_the_invalid_amount():
    with pytest.raises(Poison, match="malformed-ticket: amount must be from 0"):
        read(a_body(amount=-1))


REACTIONS: Mapping[str, Mapping[str, Reaction]] = {"stock": STOCK, "payment": PAYMENT, "delivery": DELIVERY}


def test_published_by_is_what_the_reactions_and_transitions_publish():
    by_purchase = {PRE_APPROVED}
    for status, reports in TRANSITIONS.items():
        by_purchase |= {transition.to or status for transition in reports.values() if transition.publish}

    derived = {
        service: {reply for reaction in reactions.values() for reply in reaction.replies}
        for service, reactions in REACTIONS.items()
    }

    assert {**derived, "purchase": by_purchase} == PUBLISHED_BY


def test_client_has_the_same_final_statuses():
    assert models.FINAL == TERMINAL


def test_causes_follow_from_the_reactions_and_transitions():
    settlements = {"stock": ("sold", "released"), "payment": ("settled", "canceled")}
    caused: dict[str, set[str]] = defaultdict(set)
    for service, reactions in REACTIONS.items():
        for status, reaction in reactions.items():
            if status == RESERVE_FAILED:
                continue  # Nothing was reserved or charged, so there is nothing to settle.
            settled = settlements.get(service, ())[status != APPROVED :][:1]
            publishers = [
                each for each in TOPOLOGY.service(service).subscribes_to if status in PUBLISHED_BY[each]
            ]
            for step in reaction.replies or settled:
                caused[f"{service}.{step}"].update(f"{publisher}.{status}" for publisher in publishers)
    for report, transition in TRANSITIONS[PRE_APPROVED].items():
        publishers = [
            each for each in TOPOLOGY.service("purchase").subscribes_to if report in PUBLISHED_BY[each]
        ]
        if transition.to != RESERVED:
            caused[f"purchase.{transition.to}"].update(f"{publisher}.{report}" for publisher in publishers)

    given = {"purchase.pre-approved": set(), "purchase.canceled": {"purchase.pre-approved"}}

    assert {step: set(causes) for step, causes in CAUSES.items()} == {**caused, **given}
