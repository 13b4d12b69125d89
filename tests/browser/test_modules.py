"""The page's modules that need no page: the reader of streams, and what moves mean together."""

import json

import pytest

from contract.tickets import PUBLISHED_BY

PIECES = [
    "retry: 1000\n\nevent: mo",
    "ve\nid: a.b\nda",
    'ta: {"n":1}\n',
    "\n: still here\n\n",
    'event: end\r\nid: a.b,end\r\ndata: {"x":',
    '"ü"}\r\n\r\nevent: move\nid: lost\n',
]


def of_module(visitor, module: str, expression: str, *given):
    """What an expression over a module `m` and `given` comes to, in the browser."""
    script = (
        f"async (given) => {{ const m = await import('/ui/{module}'); return ({expression})(...given); }}"
    )
    return visitor.page.evaluate(script, list(given))


def test_a_stream_is_read_however_it_is_cut(visit):
    visitor = visit()
    parse = "(pieces) => pieces.flatMap(((parser) => (each) => parser.push(each))(new m.EventParser()))"

    cut = of_module(visitor, "sse.js", parse, PIECES)
    by_letter = of_module(visitor, "sse.js", parse, list("".join(PIECES)))

    assert (
        cut
        == by_letter
        == [
            {"name": "move", "id": "a.b", "data": '{"n":1}'},
            {
                "name": "end",
                "id": "a.b,end",
                "data": json.dumps({"x": "ü"}, separators=(",", ":"), ensure_ascii=False),
            },
        ]
    )


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("", ["purchase"]),
        ("purchase.pre-approved", ["stock"]),
        ("purchase.pre-approved stock.reserved", ["payment"]),
        ("purchase.pre-approved stock.paid", ["purchase"]),
        ("purchase.pre-approved stock.reserve-failed", ["purchase"]),
        ("purchase.pre-approved stock.reserved payment.paid", ["purchase"]),
        (
            "purchase.pre-approved stock.reserved payment.paid purchase.approved",
            ["stock", "payment", "delivery"],
        ),
        ("purchase.pre-approved stock.paid purchase.approved stock.sold", ["delivery"]),
        ("purchase.pre-approved purchase.canceled", ["stock", "payment"]),
        ("purchase.pre-approved stock.reserve-failed purchase.reserve-failed", []),
        ("purchase.pre-approved stock.reserved payment.payment-failed purchase.payment-failed", ["stock"]),
    ],
)
def test_who_is_waited_for_follows_from_the_moves(visit, words, expected):
    assert of_module(visit(), "journey.js", "(moves) => m.awaited(moves)", moves(words)) == expected


def test_a_gap_is_the_time_since_the_cause_and_never_negative(visit):
    made = moves(
        "purchase.pre-approved stock.reserved payment.paid purchase.approved stock.sold payment.settled"
    )
    made[-1]["time"] = "2026-11-21T11:59:59.000Z"  # By a clock that is slow.

    gaps = of_module(visit(), "journey.js", "(moves) => moves.map((each) => m.gapOf(each, moves))", made)

    assert gaps == [None, 10, 10, 10, 10, 0]


def test_a_move_is_in_the_trace_of_what_caused_it_where_nobody_could_say(visit):
    made = moves("purchase.pre-approved stock.reserved payment.paid purchase.approved stock.sold")
    made[0]["trace_id"], made[2]["trace_id"] = "a", "b"

    traces = of_module(visit(), "journey.js", "(moves) => moves.map((each) => m.traceOf(each, moves))", made)

    assert traces == ["a", "a", "b", "b", "b"]


def test_every_word_of_the_gateway_has_a_meaning_on_the_page(visit):
    silent = [
        "stock.sold",
        "stock.released",
        "payment.settled",
        "payment.canceled",
        "purchase.reserve-failed",
    ]
    words = [*(f"{service}.{word}" for service, said in PUBLISHED_BY.items() for word in said), *silent]

    meanings = of_module(visit(), "words.js", "(moves) => moves.map(m.meaning)", moves(" ".join(words)))

    assert all(meanings), dict(zip(words, meanings, strict=True))


def moves(words: str) -> list[dict[str, str]]:
    """Ten milliseconds from one to the next."""
    return [
        dict(zip(("service", "status"), word.split("."), strict=True))
        | {"time": f"2026-11-21T12:00:00.{number * 10:03}Z"}
        for number, word in enumerate(words.split())
    ]
