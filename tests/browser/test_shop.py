"""The web UI as a shop: each outcome of an order, with its timeline, stock, payment and the recent orders."""

import re

import httpx
import pytest
from playwright.sync_api import expect

from tests.browser.visitor import Visitor


def sold(visitor: Visitor, itemid: str) -> int:
    return httpx.get(f"{visitor.gateway}/v1/items/{itemid}", trust_env=False).json()["sold"]


def test_cart_is_filled_and_its_order_approved(visit):
    visitor = visit()
    visitor.add("blue", 3)
    expect(visitor.page.locator("#cart")).to_have_text("3 items, 3.00")
    before = sold(visitor, "blue")

    visitor.check_out()
    visitor.expect_settled("approved")

    assert visitor.events("purchase") == ["pre-approved", "approved"]
    assert visitor.events("stock") == ["reserved", "sold"]
    assert visitor.events("payment") == ["paid", "settled"]
    assert visitor.events("delivery") == ["delivery-arranged"]
    visitor.expect_outcome(re.compile(r"^Approved after [\d.]+ m?s\.$"))
    latencies = visitor.page.locator("[data-event] .latency").filter(has_text=re.compile(r"\d m?s$"))
    expect(latencies).to_have_count(6)
    expect(visitor.page.locator(".connector")).to_have_count(6)
    visitor.expect_field("payment.status", "settled")
    visitor.expect_field("payment.amount", "3.00")
    visitor.expect_field("blue.sold", str(before + 3))
    visitor.expect_field("blue.reserved", "0")
    expect(visitor.page.locator("#cart")).to_have_text("The cart is empty")


@pytest.mark.parametrize(
    ("scenario", "status", "stock", "payment", "outcome", "field"),
    [
        ("sold-out", "reserve-failed", ["reserve-failed"], [], "Out of stock", ("yellow.available", "0")),
        (
            "declined",
            "payment-failed",
            ["reserved", "released"],
            ["payment-failed"],
            "10,000.00 is above the limit of 1,000.00",
            ("gold.available", "10"),
        ),
        ("free", "approved", ["paid", "sold"], [], "Approved", ("red.reserved", "0")),
    ],
)
def test_scenario_ends_as_announced(visit, scenario, status, stock, payment, outcome, field):
    visitor = visit()

    visitor.run(scenario, status)

    assert visitor.events("stock") == stock
    assert visitor.events("payment") == payment
    visitor.expect_outcome(outcome)
    visitor.expect_field(*field)


def test_canceled_scenario_holds_payment_until_its_order_is_canceled(visit):
    visitor = visit()
    visitor.expected_errors = {503}  # Reading the payment while its service is stopped.

    visitor.run("cancel", "canceled")

    assert visitor.events("purchase") == ["pre-approved", "canceled"]
    assert visitor.events("stock") == ["reserved", "released"]
    # Payment receives the reservation and the cancellation in either order; a charge is refunded.
    assert visitor.events("payment")[-1] == "canceled"
    visitor.expect_outcome("at the customer's request")
    expect(visitor.button("Stop payment")).to_be_visible()


@pytest.mark.alone
def test_order_approved_before_its_cancellation_stays_approved(visit):
    visitor = visit()
    visitor.expected_errors = {409}

    def approve_first(route) -> None:
        httpx.get(route.request.url.replace(":cancel", "?wait=20"), trust_env=False, timeout=30)
        route.continue_()

    visitor.page.route("**/*:cancel", approve_first)
    visitor.start("paid")
    visitor.button("Cancel order").click()

    visitor.expect_settled("approved")
    visitor.expect_outcome("Too late to cancel: the order is already final.")


def test_stale_stock_response_does_not_replace_a_newer_one(visit):
    visitor = visit()
    held = []

    def hold_first(route) -> None:
        response = route.fetch()
        held.append((route, response))
        if len(held) > 1:
            route.fulfill(response=response)

    visitor.page.route("**/v1/items/blue", hold_first)
    visitor.run("paid", "approved")
    units = sold(visitor, "blue")
    visitor.expect_field("blue.sold", str(units))

    first, response = held[0]
    with visitor.page.expect_response("**/v1/items/blue"):
        first.fulfill(json=response.json() | {"sold": units - 1, "available": 1})
    visitor.run("free", "approved")  # Once its stock is shown, the page has read the stale response, too.
    visitor.expect_field("red.reserved", "0")

    expect(visitor.page.locator("[data-item=blue] .stock")).to_have_text(f"{100_000 - units:,} left")


def test_recent_orders_can_be_shown_again(visit):
    visitor = visit()
    visitor.run("paid", "approved")
    first = visitor.orderid
    visitor.run("sold-out", "reserve-failed")

    assert visitor.recent_orders() == [(visitor.orderid, "reserve-failed"), (first, "approved")]
    link = visitor.page.locator(f"#orders a[data-orderid='{first}']")
    link.click()
    visitor.expect_status("approved")

    assert visitor.events("delivery") == ["delivery-arranged"]
    expect(link).to_have_attribute("aria-current", "true")


@pytest.mark.parametrize("orderid", ["no-such-order", "..%2F..%2Fitems", "%"])
def test_unknown_order_shows_an_error_until_the_next_order(visit, orderid):
    visitor = visit()
    visitor.expected_errors = {400, 404}

    visitor.page.evaluate("(orderid) => { location.hash = orderid }", orderid)

    expect(visitor.page.get_by_role("alert")).to_be_visible()
    expect(visitor.page.locator("[data-event]")).to_have_count(0)
    visitor.start("paid")
    visitor.expect_status("approved")
    expect(visitor.page.get_by_role("alert")).to_be_hidden()


def test_services_cannot_be_stopped_from_another_host_name(visit):
    visitor = visit(host="shop.example")

    visitor.run("paid", "approved")

    assert visitor.page.evaluate("isSecureContext") is False
    expect(visitor.button("Stop payment")).to_have_count(0)
    expect(visitor.page.locator("[data-scenario=outage], [data-scenario=cancel]")).to_have_count(0)


def test_browser_gets_the_web_ui_at_the_root(visit):
    visitor = visit(path="/")

    expect(visitor.page.get_by_role("heading", name="Saga suite")).to_be_visible()
