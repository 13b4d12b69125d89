"""What `sagactl watch` shows of what it knows: all of it within 80 columns, and as many lanes as fit."""

import io
from dataclasses import replace

import pytest
from rich.console import Console

from sagactl.dashboard.queue_depth import Backlog, Pile
from sagactl.dashboard.screen import screen
from sagactl.dashboard.state import State
from sagactl.dashboard.stats import ACCEPTED, Figures, Rates, Said

NOW = 1_800_000_000.0
ORDERID = "1b4e28ba-2fa1-11d2-883f-0016d3cca427"


def said(service="stock", status="reserve-failed", reason=None, since=0.031, orderid=ORDERID):
    return Said(NOW, service, orderid, status, reason, since)


def rates(**orders):
    return (Rates(10, {what.replace("_", "-"): rate for what, rate in orders.items()}), Rates(60, {}))


FIGURES = Figures(rates(), 0, None, None, 0, ())
STATE = State(NOW, "embedded, http://127.0.0.1:8080", True, FIGURES)


def shown(state, width=80, height=24, **options):
    console = Console(file=io.StringIO(), width=width, height=height, **options)
    console.print(screen(state, width, height))
    return console.file.getvalue()


def lines(state, width=80, height=24):
    return [line.rstrip() for line in shown(state, width, height).splitlines()]


def test_everything_fits_80_columns_and_24_rows_whatever_there_is():
    failures = {f"payment-failed a-very-long-reason-number-{number}": 1_234.5 for number in range(9)}
    figures = Figures(
        (Rates(10, failures), Rates(60, {ACCEPTED: 12_345, "approved": 99_999, **failures})),
        9_000,
        99.99,
        86_400.0 * 3,
        3,
        tuple(said("delivery", "delivery-arranged" * 3, "why" * 50, 86_400) for _ in range(200)),
    )
    pile = Pile(500, 86_400 * 30, more=True)
    backlog = Backlog(
        dict.fromkeys(("pre-approved", "reserved", "approved"), pile),
        dict.fromkeys(("purchase", "stock", "payment", "delivery"), pile),
    )
    programs = [{"name": name, "state": "running"} for name in ("purchase", "stock", "payment", "delivery")]
    state = State(NOW, "gcp, " + "a-project" * 9, True, figures, backlog, pile, programs, "trouble " * 50)

    found = lines(state)

    assert max(map(len, found)) <= 80
    assert len(found) <= 24
    assert found[-1].startswith(ORDERID[:8]), "the lanes have what the figures leave"


def test_each_service_has_a_lane_and_says_its_words_there():
    state = replace(
        STATE,
        figures=replace(
            FIGURES,
            said=(
                said("purchase", "pre-approved", since=0.0),
                said("stock", "reserved", since=0.1),
                said("payment", "paid", since=59.994),
                said("delivery", "delivery-arranged", since=100),
                said("purchase", "approved", since=None),
            ),
        ),
    )

    names, *rows = lines(state)[-6:]

    services = ("purchase", "stock", "payment", "delivery", "purchase")
    words = ("pre-approved", "reserved", "paid", "delivery-arranged", "approved")
    for row, service, word in zip(rows, services, words, strict=True):
        assert row.index(word) == names.index(service)
    assert [row.split()[-1] for row in rows] == ["s", "s", "s", "40s", "-"]
    assert [row.split()[0] for row in rows] == ["1b4e28ba"] * 5


def test_there_are_as_many_lanes_as_there_is_room_for_the_latest_last():
    many = tuple(said(orderid=f"{number:08}") for number in range(100))

    found = lines(replace(STATE, figures=replace(FIGURES, said=many)), height=30)

    assert len(found) == 30
    assert found[-1].startswith("00000099")


def test_a_wide_terminal_also_has_the_hour_and_the_reason():
    state = replace(STATE, figures=replace(FIGURES, said=(said(reason="sold-out: yellow"),)))

    assert lines(state, width=120)[-1].endswith("sold-out: yellow")
    assert "sold-out" not in lines(state, width=80)[-1]


def test_rates_and_times_are_shown_and_the_rarest_failures_together():
    orders = {ACCEPTED: 12.34, "approved": 100.4, **{f"failed {number}": 5.0 - number for number in range(6)}}
    figures = Figures((Rates(10, {"approved": 7}), Rates(60, orders)), 5, 0.123, 61.0, 0, ())

    found = {line[:24].strip(): line[24:38].split() for line in lines(replace(STATE, figures=figures))}

    assert found["accepted"] == ["0.0", "12.3"]
    assert found["approved"] == ["7.0", "100"]
    assert found["failed 0"] == ["0.0", "5.0"]
    assert found["2 other failures"] == ["0.0", "1.0"]
    assert "failed 4" not in found
    assert found["to the end, p50"] == ["0.12", "s"]
    assert found["to the end, p95"] == ["61.0", "s"]


def test_what_waits_is_shown_with_its_age_and_what_is_unknown_as_such():
    backlog = Backlog(
        {"pre-approved": Pile(2, 3.9), "reserved": Pile(500, 75, more=True), "approved": Pile()},
        {"stock": Pile(3, 7_260)},
    )
    state = replace(STATE, backlog=backlog, letters=Pile(1))

    found = {line[42:66].strip(): line[66:].split() for line in lines(state)}

    assert found["pre-approved"] == ["2", "3", "s"]
    assert found["reserved"] == ["500+", "1m", "15s"]
    assert found["approved, not delivered"] == ["0"]
    assert found["outbox of stock"] == ["3", "2h", "1m"]
    assert found["outbox of payment"] == ["?"]
    assert found["dead letters"] == ["1"]


def test_processes_of_a_local_suite_are_shown_and_how_they_are_where_they_do_not_run():
    programs = [{"name": "stock-1", "state": "running"}, {"name": "payment", "state": "stopped"}]

    assert "● stock-1  ● payment stopped" in lines(replace(STATE, programs=programs))
    assert "●" not in shown(STATE)


def test_trouble_takes_the_place_of_listening():
    assert "listening" in lines(STATE)[0]
    assert "listening" not in lines(replace(STATE, listening=False))[0]
    troubled = lines(replace(STATE, trouble="broker lost"))[0]
    assert "broker lost" in troubled
    assert "listening" not in troubled


def test_nobody_who_publishes_can_write_to_the_terminal():
    wild = said(status="\x1b[2Jgone\x07", reason="\x1b]0;title\x07\n")
    figures = Figures((Rates(10, {}), Rates(60, {"failed \x1b[2J": 1.0})), 0, None, None, 0, (wild,))

    found = shown(replace(STATE, figures=figures), width=120)

    assert "\x1b" not in found
    assert "\x07" not in found
    assert "·[2Jgone·" in found


@pytest.mark.parametrize(
    ("options", "coloured"),
    [({"force_terminal": True, "color_system": "standard"}, True), ({"force_terminal": False}, False)],
)
def test_statuses_and_services_have_their_colours_at_a_terminal_only(options, coloured):
    state = replace(STATE, figures=replace(FIGURES, said=(said("payment", "paid"),)))

    found = shown(state, **options, _environ={})

    assert ("\x1b[35mpaid" in found) == coloured
    assert ("\x1b" in found) == coloured
