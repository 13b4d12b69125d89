"""The screen of `sagactl top`: it fits 80 columns, and events fill the rows that are left."""

import io
from dataclasses import replace

import pytest
from rich.console import Console

from contract.topology import TOPOLOGY
from sagactl.dashboard.dashboard import State
from sagactl.dashboard.queue_depth import Backlog, QueueDepth
from sagactl.dashboard.screen import screen
from sagactl.dashboard.stats import ACCEPTED, EventLine, Rates, Summary

NOW = 1_800_000_000.0
ORDERID = "1b4e28ba-2fa1-11d2-883f-0016d3cca427"


def event(service="stock", status="reserve-failed", reason=None, since=0.031, orderid=ORDERID):
    return EventLine(NOW, service, orderid, status, reason, since)


def rates(**orders):
    return (Rates(10, {outcome.replace("_", "-"): rate for outcome, rate in orders.items()}), Rates(60, {}))


SUMMARY = Summary(rates(), 0, None, None, 0, ())
STATE = State(NOW, "embedded, http://127.0.0.1:8080", True, SUMMARY)


def shown(state, width=80, height=24, **options):
    console = Console(file=io.StringIO(), width=width, height=height, **options)
    console.print(screen(state, width, height))
    return console.file.getvalue()


def lines(state, width=80, height=24):
    return [line.rstrip() for line in shown(state, width, height).splitlines()]


def test_long_texts_fit_80_columns_and_24_rows():
    failures = {f"payment-failed a-very-long-reason-number-{number}": 1_234.5 for number in range(9)}
    summary = Summary(
        (Rates(10, failures), Rates(60, {ACCEPTED: 12_345, "approved": 99_999, **failures})),
        9_000,
        99.99,
        86_400.0 * 3,
        3,
        tuple(event("delivery", "delivery-arranged" * 3, "why" * 50, 86_400) for _ in range(200)),
    )
    depth = QueueDepth(500, 86_400 * 30, more=True)
    backlog = Backlog(
        dict.fromkeys(("pre-approved", "reserved", "approved"), depth),
        dict.fromkeys(TOPOLOGY.topics, depth),
    )
    programs = [{"name": name, "state": "running"} for name in TOPOLOGY.topics]
    state = State(NOW, "gcp, " + "a-project" * 9, True, summary, backlog, depth, programs, "warning " * 50)

    found = lines(state)

    assert max(map(len, found)) <= 80
    assert len(found) <= 24
    assert found[-1].startswith(ORDERID[:8]), "the columns fill the rest"


def test_each_service_has_its_own_lane():
    state = replace(
        STATE,
        summary=replace(
            SUMMARY,
            events=(
                event("purchase", "pre-approved", since=0.0),
                event("stock", "reserved", since=0.1),
                event("payment", "paid", since=59.994),
                event("delivery", "delivery-arranged", since=100),
                event("purchase", "approved", since=None),
            ),
        ),
    )

    names, *rows = lines(state, width=80 + 15 * (len(TOPOLOGY.topics) - 4))[-6:]

    services = ("purchase", "stock", "payment", "delivery", "purchase")
    statuses = ("pre-approved", "reserved", "paid", "delivery-arranged", "approved")
    for row, service, status in zip(rows, services, statuses, strict=True):
        assert row.index(status) == names.index(service)
    assert [row.split()[-1] for row in rows] == ["s", "s", "s", "40s", "-"]
    assert [row.split()[0] for row in rows] == ["1b4e28ba"] * 5


def test_latest_events_fill_the_screen():
    many = tuple(event(orderid=f"{number:08}") for number in range(100))

    found = lines(replace(STATE, summary=replace(SUMMARY, events=many)), height=30)

    assert len(found) == 30
    assert found[-1].startswith("00000099")


def test_wide_terminal_also_shows_the_reason():
    state = replace(STATE, summary=replace(SUMMARY, events=(event(reason="sold-out: yellow"),)))

    assert lines(state, width=120)[-1].endswith("sold-out: yellow")
    assert "sold-out" not in lines(state, width=80)[-1]


def test_rarest_failures_share_a_row():
    orders = {ACCEPTED: 12.34, "approved": 100.4, **{f"failed {number}": 5.0 - number for number in range(6)}}
    summary = Summary((Rates(10, {"approved": 7}), Rates(60, orders)), 5, 0.123, 61.0, 0, ())

    found = {line[:24].strip(): line[24:38].split() for line in lines(replace(STATE, summary=summary))}

    assert found["accepted"] == ["0.0", "12.3"]
    assert found["approved"] == ["7.0", "100"]
    assert found["failed 0"] == ["0.0", "5.0"]
    assert found["2 other failures"] == ["0.0", "1.0"]
    assert "failed 4" not in found
    assert found["checkout to final, p50"] == ["0.12", "s"]
    assert found["checkout to final, p95"] == ["61.0", "s"]


def test_queue_depths_have_an_age_and_unknown_ones_a_question_mark():
    backlog = Backlog(
        {
            "pre-approved": QueueDepth(2, 3.9),
            "reserved": QueueDepth(500, 75, more=True),
            "approved": QueueDepth(),
        },
        {"stock": QueueDepth(3, 7_260)},
    )
    state = replace(STATE, backlog=backlog, dead_letters=QueueDepth(1))

    found = {line[42:65].strip(): line[65:].split() for line in lines(state)}

    assert found["pre-approved"] == ["2", "3s"]
    assert found["reserved"] == ["500+", "≥1m", "15s"]
    assert found["approved, not delivered"] == ["0"]
    assert found["outbox of stock"] == ["3", "2h", "1m"]
    assert found["outbox of payment"] == ["?"]
    assert found["dead letters"] == ["1"]


def test_processes_of_a_local_suite_are_shown_with_their_state():
    programs = [{"name": "stock-1", "state": "running"}, {"name": "payment", "state": "stopped"}]

    assert "● stock-1  ● payment stopped" in lines(replace(STATE, programs=programs))
    assert "●" not in shown(STATE)


def test_warning_replaces_listening():
    assert "listening" in lines(STATE)[0]
    assert "listening" not in lines(replace(STATE, listening=False))[0]
    warned = lines(replace(STATE, warning="broker lost"))[0]
    assert "broker lost" in warned
    assert "listening" not in warned


@pytest.mark.parametrize(
    ("options", "coloured"),
    [({"force_terminal": True, "color_system": "standard"}, True), ({"force_terminal": False}, False)],
)
def test_colours_are_used_at_a_terminal_only(options, coloured):
    state = replace(STATE, summary=replace(SUMMARY, events=(event("payment", "paid"),)))

    found = shown(state, **options, _environ={})

    assert ("\x1b[35mpaid" in found) == coloured
    assert ("\x1b" in found) == coloured


HOSTILE = "a\x1b[2J\x9b1m\u202e[red]b[/red]:smile:\r\nFORGED"


@pytest.mark.parametrize("width", [80, 300])
def test_hostile_texts_are_escaped(width):
    backlog = Backlog({HOSTILE: QueueDepth(1)}, {HOSTILE: QueueDepth(1)})
    summary = replace(
        SUMMARY,
        rates=(Rates(10, {}), Rates(60, {HOSTILE: 1.0})),
        events=(
            event(HOSTILE, HOSTILE, HOSTILE, orderid="\x1b[2J"),
            event("stock", HOSTILE, HOSTILE),
            replace(event(orderid="o"), at=1e15),
        ),
    )
    programs = [{"name": HOSTILE, "state": HOSTILE}]
    state = State(NOW, HOSTILE, True, summary, backlog, QueueDepth(1), programs, HOSTILE)

    found = lines(state, width=width)

    assert all(line.isprintable() for line in found)
    assert not any(line.lstrip().startswith("FORGED") for line in found)
    assert any("\\x1b[2J" in line for line in found)


def test_brackets_are_no_styles():
    state = replace(STATE, summary=replace(SUMMARY, events=(event(reason="[red]x[/red]", orderid="[b]c"),)))

    assert lines(state, width=150)[-1].endswith("[red]x[/red]")
    assert "[b]c" in lines(state)[-1]
