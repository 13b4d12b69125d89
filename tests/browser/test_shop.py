"""The page, by a visitor who shops: each outcome of an order, drawn in the lanes of the services."""

import re

import httpx
import pytest
from playwright.sync_api import expect


def test_a_cart_is_filled_and_its_order_is_seen_to_be_approved(visit):
    visitor = visit()
    visitor.add("blue", 3)
    expect(visitor.page.locator("#cart")).to_have_text("3 pieces, 3.00")

    visitor.check_out()
    visitor.sees("approved")
    visitor.sees_it_over()

    assert visitor.moves("purchase") == ["pre-approved", "approved"]
    assert visitor.moves("stock") == ["reserved", "sold"]
    assert visitor.moves("payment") == ["paid", "settled"]
    assert visitor.moves("delivery") == ["delivery-arranged"]
    assert re.fullmatch(r"Approved after [\d.]+ m?s\.", visitor.page.locator("#outcome").inner_text())
    assert visitor.page.locator("[data-move] .gap").filter(has_text=re.compile(r"\d m?s$")).count() == 6
    expect(visitor.page.locator(".thread")).to_have_count(6)
    visitor.sees_book("payment.status", "settled")
    visitor.sees_book("payment.amount", "3.00")
    visitor.sees_book("blue.reserved", "0")
    expect(visitor.page.locator("#cart")).to_have_text("The cart is empty")


def test_stock_changes_beside_the_order(visit):
    visitor = visit()
    visitor.choose("paid")
    visitor.sees_it_over()
    answer = httpx.get(f"{visitor.gateway}/v1/items/blue", trust_env=False)
    visitor.sees_book("blue.sold", str(answer.json()["sold"]))

    visitor.choose("paid")

    visitor.sees_book("blue.sold", str(answer.json()["sold"] + 3))
    visitor.sees_book("blue.reserved", "0")


def test_answers_about_stock_that_overtake_one_another_leave_the_latest_to_be_seen(visit):
    visitor = visit()
    held = []

    def hold_the_first(route) -> None:
        answer = route.fetch()
        held.append((route, answer))
        if len(held) > 1:
            route.fulfill(response=answer)

    visitor.page.route("**/v1/items/blue", hold_the_first)
    visitor.choose("paid")
    visitor.sees_it_over()
    sold = httpx.get(f"{visitor.gateway}/v1/items/blue", trust_env=False).json()["sold"]
    visitor.sees_book("blue.sold", str(sold))

    first, answer = held[0]
    with visitor.page.expect_response("**/v1/items/blue"):
        first.fulfill(json=answer.json() | {"sold": sold - 1, "available": 1})
    visitor.choose("free")  # By the time that its stock is seen the page has read that as well.
    visitor.sees_it_over()
    visitor.sees_book("red.reserved", "0")

    expect(visitor.page.locator("[data-item=blue] .stock")).to_have_text(f"{100_000 - sold:,} left")


def test_what_is_sold_out_closes_the_order(visit):
    visitor = visit()

    visitor.choose("sold-out")
    visitor.sees("reserve-failed")
    visitor.sees_it_over()

    assert visitor.moves("stock") == ["reserve-failed"]
    assert visitor.moves("payment") == []
    expect(visitor.page.locator("#outcome")).to_contain_text("yellow")
    visitor.sees_book("yellow.available", "0")


def test_a_declined_payment_gives_the_stock_back(visit):
    visitor = visit()

    visitor.choose("declined")
    visitor.sees("payment-failed")
    visitor.sees_it_over()

    assert visitor.moves("stock") == ["reserved", "released"]
    assert visitor.moves("payment") == ["payment-failed"]
    expect(visitor.page.locator("#outcome")).to_contain_text("above the limit")
    visitor.sees_book("payment.status", "declined")
    visitor.sees_book("gold.available", "10")


def test_what_waives_payment_is_not_paid_for(visit):
    visitor = visit()

    visitor.choose("free")
    visitor.sees("approved")
    visitor.sees_it_over()

    assert visitor.moves("stock") == ["paid", "sold"]
    assert visitor.moves("payment") == []


def test_an_order_that_is_canceled_in_flight_ends_one_way_or_the_other(visit):
    visitor = visit()
    visitor.refusals = {409}  # Where it was approved first.

    visitor.choose("cancel")
    visitor.sees(re.compile("canceled|approved"))
    visitor.sees_it_over()

    if visitor.moves("purchase")[-1] == "canceled":
        assert set(visitor.moves("stock")) <= {"reserved", "released"}
        expect(visitor.page.locator("#outcome")).to_contain_text("given back")
    else:
        expect(visitor.page.locator("#outcome")).to_contain_text("Too late to cancel")


def test_the_latest_orders_are_listed_with_their_state_and_can_be_looked_at_again(visit):
    visitor = visit()
    visitor.choose("paid")
    visitor.sees("approved")
    visitor.sees_it_over()
    first = visitor.orderid
    visitor.choose("sold-out")
    visitor.sees("reserve-failed")
    visitor.sees_it_over()

    assert visitor.latest() == [(visitor.orderid, "reserve-failed"), (first, "approved")]
    visitor.page.locator(f"#orders a[data-orderid='{first}']").click()
    visitor.sees("approved")

    assert visitor.moves("delivery") == ["delivery-arranged"]
    expect(visitor.page.locator(f"#orders a[data-orderid='{first}']")).to_have_attribute(
        "aria-current", "true"
    )


@pytest.mark.parametrize("orderid", ["nothing-like-it", "..%2F..%2Fitems", "%"])
def test_an_order_that_is_not_there_is_said_not_to_be(visit, orderid):
    visitor = visit(path="/ui")
    visitor.refusals = {400, 404}

    visitor.page.evaluate("(orderid) => { location.hash = orderid }", orderid)

    expect(visitor.page.get_by_role("alert")).to_be_visible()
    expect(visitor.page.locator("[data-move]")).to_have_count(0)
    visitor.choose("paid")
    visitor.sees("approved")
    expect(visitor.page.get_by_role("alert")).to_be_hidden()


def test_by_another_name_and_without_https_it_is_the_same_but_nothing_is_stopped_from_there(visit):
    visitor = visit(host="shop.example")

    visitor.choose("paid")
    visitor.sees("approved")
    visitor.sees_it_over()

    assert visitor.page.evaluate("isSecureContext") is False
    expect(visitor.page.get_by_role("button", name="Stop payment")).to_have_count(0)
    expect(visitor.page.locator("[data-case=outage]")).to_have_count(0)


def test_a_browser_that_asks_for_the_root_gets_the_page_and_curl_the_name(visit, shop):
    visitor = visit(path="/")
    expect(visitor.page.get_by_role("heading", name="Saga suite")).to_be_visible()

    by_curl = httpx.get(shop.facts["gateway"], headers={"accept": "*/*"}, trust_env=False)

    assert by_curl.text == "api-gateway"
    assert by_curl.headers["content-type"] == "text/plain; charset=utf-8"
