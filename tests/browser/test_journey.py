"""The page while an order is under way: reloaded, canceled, with a service stopped by its buttons."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import expect

from tests.browser.visitor import Visitor


@contextmanager
def stopped(visitor: Visitor, service: str) -> Iterator[None]:
    """Stopped by its button, and started by it if the test has not come to that."""
    visitor.refusals = {503}  # What is asked of it meanwhile, and until the gateway has found it again.
    visitor.steer("Stop", service)
    try:
        yield
    finally:
        start_again(visitor, service)


def start_again(visitor: Visitor, service: str) -> None:
    if visitor.page.get_by_role("button", name=f"Start {service}", exact=True).is_visible():
        visitor.steer("Start", service)


def test_a_saga_waits_for_a_service_that_is_stopped_and_recovers_once_it_is_started(visit):
    visitor = visit()
    with stopped(visitor, "payment"):
        visitor.add("blue")
        visitor.check_out()
        visitor.sees("reserved")
        visitor.sees_waiting_for("payment")
        expect(visitor.lane("payment")).to_contain_text("stopped")

        visitor.steer("Start", "payment")

        visitor.sees("approved")
        visitor.sees_it_over()
    assert visitor.moves("payment") == ["paid", "settled"]


def test_an_order_is_canceled_on_its_way_and_everything_is_given_back(visit):
    visitor = visit()
    with stopped(visitor, "payment"):
        visitor.choose("paid")
        visitor.sees("reserved")

        visitor.page.get_by_role("button", name="Cancel order").click()

        visitor.sees("canceled")
        expect(visitor.lane("stock").get_by_text("released")).to_be_visible()
        visitor.steer("Start", "payment")
        visitor.sees_it_over()
    assert visitor.moves("stock") == ["reserved", "released"]
    # It hears of reservation and cancellation in whatever order; what it has charged it gives back.
    assert visitor.moves("payment") in (["canceled"], ["paid", "canceled"])
    expect(visitor.page.locator("#outcome")).to_contain_text("given back")
    expect(visitor.page.get_by_role("button", name="Cancel order")).to_be_hidden()


def test_a_reload_in_the_middle_goes_on_where_it_was(visit):
    visitor = visit()
    with stopped(visitor, "payment"):
        visitor.choose("paid")
        visitor.sees("reserved")
        orderid = visitor.orderid

        visitor.page.reload()

        visitor.sees("reserved")
        assert visitor.orderid == orderid
        assert visitor.moves("purchase") == ["pre-approved"]
        assert visitor.latest()[0] == (orderid, "reserved")
        visitor.steer("Start", "payment")
        visitor.sees("approved")
        visitor.sees_it_over()
    assert visitor.latest()[0] == (orderid, "approved")


def test_the_outage_stops_payment_and_lets_its_order_wait(visit):
    visitor = visit()
    visitor.refusals = {503}

    visitor.choose("outage")
    try:
        visitor.sees_waiting_for("payment")
    finally:
        start_again(visitor, "payment")

    visitor.sees("approved")


@pytest.mark.parametrize("service", ["stock", "delivery"])
def test_whoever_is_away_is_waited_for(visit, service):
    visitor = visit()
    with stopped(visitor, service):
        visitor.choose("paid")
        visitor.sees_waiting_for(service)

        visitor.steer("Start", service)

        visitor.sees_it_over()
        visitor.sees("approved")


def test_without_purchase_nothing_is_ordered_and_the_page_says_so_until_it_is_back(visit):
    visitor = visit()
    visitor.add("blue")
    with stopped(visitor, "purchase"):
        visitor.page.get_by_role("button", name="Check out").click()
        expect(visitor.page.get_by_role("alert")).to_contain_text("A service this needs is away")
        expect(visitor.page.locator("#cart")).to_have_text("1 piece, 1.00")

        visitor.steer("Start", "purchase")

        visitor.check_out()
        visitor.sees("approved")
    expect(visitor.page.get_by_role("alert")).to_be_hidden()


def test_a_checkout_whose_answer_was_lost_is_repeated_and_makes_one_order(visit):
    visitor = visit()
    visitor.network_fails = True
    keys: list[str] = []
    made: list[str] = []

    def lose_the_first_answer(route) -> None:
        keys.append(route.request.headers["idempotency-key"])
        answer = route.fetch()
        made.append(answer.json()["orderid"])
        route.abort() if len(made) == 1 else route.fulfill(response=answer)

    visitor.page.route("**/*:checkout", lose_the_first_answer)

    visitor.choose("free")

    visitor.sees("approved")
    assert len(keys) == 2
    assert len({*keys}) == 1
    assert {*made} == {visitor.orderid}


def test_what_stays_in_the_cart_outlives_a_reload(visit):
    visitor = visit()
    visitor.add("red", 2)

    visitor.page.reload()

    expect(visitor.page.locator("#cart")).to_have_text("2 pieces, nothing to pay")
    expect(visitor.page.get_by_role("status", name="Red in the cart")).to_have_text(re.compile("2"))
