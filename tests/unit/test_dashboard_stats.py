"""Statistics of `sagactl top`, computed from events and a clock that tests move."""

from dataclasses import replace

import pytest

from contract.tickets import CartItem, TicketMessage
from sagactl.dashboard import stats as order_stats
from sagactl.dashboard.stats import ACCEPTED, MAX_EVENTS, OrderStats, Summary
from sagakit.events import Event, timestamp

START = 1_800_000_000.0


class Listener:
    """Statistics, and the events and the time that tests feed them."""

    def __init__(self):
        self.now = START
        self.stepped = 0.0
        self.stats = OrderStats(lambda: self.now + self.stepped, lambda: self.now - START)

    def publish(self, service, status, orderid="o", reason=None, again=False, time=None):
        ticket = TicketMessage(orderid, status, (CartItem("blue", 1),), None, reason)
        self.stats.on_ticket(service, ticket, time or timestamp(self.now), again)

    def saga(self, orderid, seconds=0.0):
        self.publish("purchase", "pre-approved", orderid)
        self.now += seconds
        self.publish("stock", "reserved", orderid)
        self.publish("payment", "paid", orderid)
        self.publish("purchase", "approved", orderid)

    def rates(self):
        return [dict(rates.orders) for rates in self.stats.summary().rates]


@pytest.fixture
def listener():
    return Listener()


def test_without_events_the_summary_is_empty(listener):
    summary = listener.stats.summary()

    assert [rates.window for rates in summary.rates] == [10, 60]
    assert listener.rates() == [{}, {}]
    assert summary == Summary(summary.rates, 0, None, None, 0, ())


def test_orders_are_counted_by_outcome(listener):
    listener.now += 100
    for number in range(20):
        listener.saga(f"good-{number}")
    for number in range(10):
        listener.publish("purchase", "pre-approved", f"sold-out-{number}")
        listener.publish("stock", "reserve-failed", f"sold-out-{number}", reason=f"sold-out: {number}")
    listener.publish("purchase", "canceled", "late", reason="timeout")
    listener.publish("purchase", "payment-failed", "poor")

    ten, sixty = listener.rates()

    assert ten == {
        ACCEPTED: 3.0,
        "approved": 2.0,
        "reserve-failed sold-out": 1.0,
        "canceled timeout": 0.1,
        "payment-failed": 0.1,
    }
    assert sixty == {outcome: pytest.approx(rate / 6) for outcome, rate in ten.items()}


def test_orders_expire_from_their_window(listener):
    listener.now += 100
    listener.saga("o")

    listener.now += 9.9
    assert listener.rates()[0] == {ACCEPTED: 0.1, "approved": 0.1}
    listener.now += 0.1
    assert listener.rates()[0] == {}
    assert listener.stats.summary().ended == 1
    listener.now += 50
    assert listener.rates() == [{}, {}]
    assert (listener.stats.summary().ended, listener.stats.summary().p50) == (0, None)


def test_rate_is_over_the_time_since_the_start(listener):
    listener.saga("o")
    assert listener.rates()[1][ACCEPTED] == 1.0

    listener.now += 4

    assert listener.rates() == [{ACCEPTED: 0.25, "approved": 0.25}] * 2


def test_duplicates_and_reminders_are_not_counted(listener):
    listener.now += 100
    for _ in range(3):
        listener.saga("o")
    listener.publish("purchase", "pre-approved", "other", again=True)
    listener.publish("purchase", "approved", "other", again=True)

    assert listener.rates()[0] == {ACCEPTED: 0.1, "approved": 0.1}
    statuses = [event.status for event in listener.stats.summary().events]
    assert statuses == ["pre-approved", "reserved", "paid", "approved"]


def test_order_becomes_final_once(listener):
    """Stock rejects the order that the client cancels at the same time."""
    listener.now += 100
    listener.publish("purchase", "canceled", reason="client")
    listener.publish("stock", "reserve-failed", reason="sold-out")

    assert listener.rates()[0] == {"canceled client": 0.1}


def test_time_from_checkout_has_quantiles(listener):
    for number in range(1, 101):
        listener.saga(str(number), seconds=number / 1000)

    summary = listener.stats.summary()

    assert summary.ended == 100
    assert summary.p50 == pytest.approx(0.050, abs=0.0011)
    assert summary.p95 == pytest.approx(0.095, abs=0.0011)
    assert summary.events[-1].since_checkout == pytest.approx(0.1, abs=0.0011)


def test_order_without_its_checkout_has_no_duration(listener):
    listener.publish("payment", "paid")
    listener.publish("purchase", "approved")

    summary = listener.stats.summary()

    assert (summary.ended, summary.p50) == (1, None)
    assert [event.since_checkout for event in summary.events] == [None, None]


def test_step_of_the_wall_clock_changes_no_rate(listener):
    listener.now += 100
    listener.saga("o")
    before = listener.rates()

    for listener.stepped in (3_600, -3_600):
        assert listener.rates() == before
        assert listener.stats.summary().ended == 1


def test_events_are_sorted_by_their_time(listener):
    """Each topic is received independently, so events overtake one another."""
    for service, status, after in (
        ("purchase", "approved", 3),
        ("stock", "reserved", 1),
        ("payment", "paid", 2),
        ("purchase", "pre-approved", 0),
    ):
        listener.publish(service, status, time=timestamp(START + after))

    summary = listener.stats.summary()

    assert [event.status for event in summary.events] == ["pre-approved", "reserved", "paid", "approved"]
    assert [event.since_checkout for event in summary.events] == [0.0, 1.0, 2.0, 3.0]
    assert summary.p50 == 3.0


def test_clock_skew_and_invalid_times_give_no_negative_durations(listener):
    listener.publish("purchase", "pre-approved")
    listener.publish("stock", "reserved", time=timestamp(START - 5))
    listener.publish("payment", "paid", time="yesterday")

    assert [event.since_checkout for event in listener.stats.summary().events] == [0.0, 0.0, 0.0]


def test_memory_is_bounded(listener, monkeypatch):
    monkeypatch.setattr(order_stats, "MAX_ORDERS", 10)
    for number in range(MAX_EVENTS + 1):
        listener.publish("purchase", "pre-approved", str(number))

    events = listener.stats.summary().events

    assert (len(events), events[0].orderid, events[-1].orderid) == (MAX_EVENTS, "1", str(MAX_EVENTS))
    assert len(listener.stats._orders) == 10


@pytest.mark.parametrize(
    "time", ["", "x", "2026-01-02T03:04:05", "0001-01-01T00:00:00", "9999-12-31T23:59:59.999-23:59", "\ud800"]
)
def test_odd_time_is_no_error(listener, time):
    listener.publish("stock", "reserved", time=time)

    assert len(listener.stats.summary().events) == 1


def test_events_of_other_types_are_listed_and_count_for_no_order(listener):
    granted = Event("e-1", "gifts.Granted", b"{}", {"time": timestamp(START)})

    for event in (granted, granted, replace(granted, attributes={"again": "true"})):
        listener.stats.on_other("gifts", event)

    summary = listener.stats.summary()
    (line,) = summary.events
    assert (line.at, line.service, line.orderid, line.status) == (START, "gifts", "e-1", "gifts.Granted")
    assert (summary.ended, line.since_checkout) == (0, None)
    assert listener.rates() == [{}, {}]
