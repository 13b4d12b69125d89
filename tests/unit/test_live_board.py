"""What `sagactl top` makes of what it hears, on time that tests move."""

import pytest

from contract.tickets import CartItem, TicketMessage
from sagactl.dashboard import stats as boards
from sagactl.dashboard.stats import ACCEPTED, MAX_EVENTS, OrderStats
from sagakit.events import timestamp

START = 1_800_000_000.0


class Time:
    """Stands still elapsed it is moved."""

    def __init__(self):
        self.now = START


class Listener:
    """A board, and what tests tell it."""

    def __init__(self):
        self.time = Time()
        self.board = OrderStats(lambda: self.time.now)

    def say(self, service, status, orderid="o", reason=None, again=False, time=None):
        ticket = TicketMessage(orderid, status, (CartItem("blue", 1),), None, reason)
        self.board.on_ticket(service, ticket, time or timestamp(self.time.now), again)

    def saga(self, orderid, seconds=0.0):
        self.say("purchase", "pre-approved", orderid)
        self.time.now += seconds
        self.say("stock", "reserved", orderid)
        self.say("payment", "paid", orderid)
        self.say("purchase", "approved", orderid)

    def rates(self):
        return [dict(rates.orders) for rates in self.board.summary().rates]


@pytest.fixture
def listener():
    return Listener()


def test_nothing_was_heard_yet(listener):
    summary = listener.board.summary()

    assert [rates.window for rates in summary.rates] == [10, 60]
    assert listener.rates() == [{}, {}]
    assert (summary.p50, summary.p95, summary.ended, summary.dead_letters, summary.events) == (
        None,
        None,
        0,
        0,
        (),
    )


def test_orders_are_counted_by_what_became_of_them(listener):
    listener.time.now += 100
    for number in range(20):
        listener.saga(f"good-{number}")
    for number in range(10):
        listener.say("purchase", "pre-approved", f"sold-out-{number}")
        listener.say("stock", "reserve-failed", f"sold-out-{number}", reason=f"sold-out: {number}")
    listener.say("purchase", "canceled", "late", reason="timeout")
    listener.say("purchase", "payment-failed", "poor")

    ten, sixty = listener.rates()

    assert ten == {
        ACCEPTED: 3.0,
        "approved": 2.0,
        "reserve-failed sold-out": 1.0,
        "canceled timeout": 0.1,
        "payment-failed": 0.1,
    }
    assert sixty == {what: pytest.approx(rate / 6) for what, rate in ten.items()}


def test_what_is_past_a_window_does_not_count_in_it(listener):
    listener.time.now += 100
    listener.saga("o")

    listener.time.now += 9.9
    assert listener.rates()[0] == {ACCEPTED: 0.1, "approved": 0.1}
    listener.time.now += 0.1
    assert listener.rates()[0] == {}
    assert listener.board.summary().ended == 1
    listener.time.now += 50
    assert listener.rates() == [{}, {}]
    assert (listener.board.summary().ended, listener.board.summary().p50) == (0, None)


def test_a_rate_is_over_the_time_it_was_listened_for(listener):
    listener.saga("o")
    assert listener.rates()[1][ACCEPTED] == 1.0

    listener.time.now += 4

    assert listener.rates() == [{ACCEPTED: 0.25, "approved": 0.25}] * 2


def test_who_says_it_twice_or_again_is_counted_once(listener):
    listener.time.now += 100
    for _ in range(3):
        listener.saga("o")
    listener.say("purchase", "pre-approved", "other", again=True)
    listener.say("purchase", "approved", "other", again=True)

    assert listener.rates()[0] == {ACCEPTED: 0.1, "approved": 0.1}
    assert [events.status for events in listener.board.summary().events] == [
        "pre-approved",
        "reserved",
        "paid",
        "approved",
    ]


def test_an_order_ends_once(listener):
    """Stock refuses what the client canceled in the same moment."""
    listener.time.now += 100
    listener.say("purchase", "canceled", reason="client")
    listener.say("stock", "reserve-failed", reason="sold-out")

    assert listener.rates()[0] == {"canceled client": 0.1}


def test_the_time_from_checkout_is_by_the_services_clocks_and_has_quantiles(listener):
    for number in range(1, 101):
        listener.saga(str(number), seconds=number / 1000)

    summary = listener.board.summary()

    assert summary.ended == 100
    assert summary.p50 == pytest.approx(0.050, abs=0.0011)
    assert summary.p95 == pytest.approx(0.095, abs=0.0011)
    assert summary.events[-1].since_checkout == pytest.approx(0.1, abs=0.0011)


def test_an_order_whose_checkout_was_not_heard_ends_without_a_time(listener):
    listener.say("payment", "paid")
    listener.say("purchase", "approved")

    summary = listener.board.summary()

    assert (summary.ended, summary.p50) == (1, None)
    assert [events.since_checkout for events in summary.events] == [None, None]


def test_what_is_heard_before_the_checkout_is_put_after_it(listener):
    """Each topic is recent for itself, and they overtake one another."""
    for service, status, after in (
        ("purchase", "approved", 3),
        ("stock", "reserved", 1),
        ("payment", "paid", 2),
        ("purchase", "pre-approved", 0),
    ):
        listener.say(service, status, time=timestamp(START + after))

    summary = listener.board.summary()

    assert [events.status for events in summary.events] == ["pre-approved", "reserved", "paid", "approved"]
    assert [events.since_checkout for events in summary.events] == [0.0, 1.0, 2.0, 3.0]
    assert summary.p50 == 3.0


def test_clocks_apart_make_no_time_negative_and_no_time_makes_no_trouble(listener):
    listener.say("purchase", "pre-approved")
    listener.say("stock", "reserved", time=timestamp(START - 5))
    listener.say("payment", "paid", time="yesterday")

    assert [events.since_checkout for events in listener.board.summary().events] == [0.0, 0.0, 0.0]


def test_only_so_much_is_remembered(listener, monkeypatch):
    monkeypatch.setattr(boards, "MAX_ORDERS", 10)
    for number in range(MAX_EVENTS + 1):
        listener.say("purchase", "pre-approved", str(number))

    events = listener.board.summary().events

    assert (len(events), events[0].orderid, events[-1].orderid) == (MAX_EVENTS, "1", str(MAX_EVENTS))
    assert len(listener.board._orders) == 10


def test_dead_letters_are_counted(listener):
    listener.board.add_dead_letter()
    listener.board.add_dead_letter()

    assert listener.board.summary().dead_letters == 2
