"""The web UI while an order is open: services stop, the visitor cancels or reloads, requests get lost."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import expect


@pytest.mark.parametrize("service", ["stock", "payment", "delivery"])
def test_order_waits_for_a_stopped_service(visit, service):
    visitor = visit()
    with visitor.stopped(service):
        visitor.start("paid")
        visitor.expect_waiting_for(service)
        expect(visitor.lane(service)).to_contain_text("stopped")

        visitor.start_service(service)

        visitor.expect_settled("approved")
    assert visitor.events("payment") == ["paid", "settled"]


def test_outage_scenario_stops_payment(visit):
    visitor = visit()
    visitor.expected_errors = {503}

    visitor.start("outage")
    try:
        visitor.expect_waiting_for("payment")
    finally:
        visitor.start_service("payment")

    visitor.expect_status("approved")


def test_canceled_order_is_compensated(visit):
    visitor = visit()
    with visitor.stopped("payment"):
        visitor.start("paid")
        visitor.expect_status("reserved")

        visitor.button("Cancel order").click()

        visitor.expect_status("canceled")
        expect(visitor.lane("stock").get_by_text("released")).to_be_visible()
        visitor.start_service("payment")
        visitor.expect_settled("canceled")
    assert visitor.events("stock") == ["reserved", "released"]
    # Payment receives the reservation and the cancellation in either order; a charge is refunded.
    assert visitor.events("payment") in (["canceled"], ["paid", "canceled"])
    visitor.expect_outcome("any charge was refunded")
    expect(visitor.button("Cancel order")).to_be_hidden()


def test_reload_continues_with_the_same_order(visit):
    visitor = visit()
    with visitor.stopped("payment"):
        visitor.start("paid")
        visitor.expect_status("reserved")
        orderid = visitor.orderid

        visitor.page.reload()

        visitor.expect_status("reserved")
        assert visitor.orderid == orderid
        assert visitor.events("purchase") == ["pre-approved"]
        assert visitor.recent_orders()[0] == (orderid, "reserved")
        visitor.start_service("payment")
        visitor.expect_settled("approved")
    assert visitor.recent_orders()[0] == (orderid, "approved")


def test_checkout_without_purchase_shows_the_error_and_keeps_the_cart(visit):
    visitor = visit()
    visitor.expected_errors = {404}  # The page reads the cart, which was never opened, before it tries again.
    visitor.add("blue")
    with visitor.stopped("purchase"):
        visitor.button("Check out").click()
        alert = visitor.page.get_by_role("alert")
        expect(alert).to_contain_text(re.compile("service", re.IGNORECASE))
        expect(visitor.page.locator("#cart")).to_have_text("1 item, 1.00")

        visitor.start_service("purchase")

        visitor.check_out()
        visitor.expect_status("approved")
    expect(alert).to_be_hidden()


def test_checkout_is_retried_with_the_same_key_if_its_response_is_lost(visit):
    visitor = visit()
    visitor.expects_network_errors = True
    keys: list[str] = []
    orderids: list[str] = []

    def lose_first_response(route) -> None:
        keys.append(route.request.headers["idempotency-key"])
        response = route.fetch()
        orderids.append(response.json()["orderid"])
        route.abort() if len(keys) == 1 else route.fulfill(response=response)

    visitor.page.route("**/*:checkout", lose_first_response)

    visitor.start("free")

    visitor.expect_status("approved")
    assert len(keys) == 2
    assert len({*keys}) == 1
    assert {*orderids} == {visitor.orderid}


@contextmanager
def lost_checkouts(visitor, *, forwarded: bool = True) -> Iterator[list[str]]:
    """Lose the responses of checkouts, or the requests unless `forwarded`; the orderids they had."""
    visitor.expects_network_errors = True
    orderids: list[str] = []

    def lose(route) -> None:
        if forwarded:
            orderids.append(route.fetch().json()["orderid"])
        route.abort()

    visitor.page.route("**/*:checkout", lose)
    yield orderids
    expect(visitor.page.get_by_role("alert")).to_contain_text("try again")
    visitor.page.unroute("**/*:checkout")


@pytest.mark.parametrize("reloads", [False, True])
def test_cart_whose_checkout_had_no_response_is_ordered_once(visit, reloads):
    visitor = visit()
    visitor.add("blue", 3)
    with lost_checkouts(visitor) as orderids:
        visitor.button("Check out").click()
    if reloads:
        visitor.page.reload()

    visitor.check_out()

    visitor.expect_settled("approved")
    assert {*orderids} == {visitor.orderid}
    expect(visitor.page.locator("#cart")).to_have_text("The cart is empty")
    visitor.add("blue", 3)
    visitor.check_out()
    assert visitor.orderid not in orderids


def test_items_added_after_a_checkout_without_response_stay_in_the_cart(visit):
    visitor = visit()
    visitor.add("blue", 3)
    with lost_checkouts(visitor) as orderids:
        visitor.button("Check out").click()
    visitor.add("blue")

    visitor.check_out()

    expect(visitor.page.locator("#order-contents")).to_have_text("3 blue")
    assert {*orderids} == {visitor.orderid}
    expect(visitor.page.locator("#cart")).to_have_text("1 item, 1.00")
    visitor.check_out()
    expect(visitor.page.locator("#order-contents")).to_have_text("1 blue")
    assert visitor.orderid not in orderids


def test_cart_that_was_not_checked_out_can_still_be_changed(visit):
    visitor = visit()
    visitor.add("blue", 3)
    with lost_checkouts(visitor, forwarded=False):
        visitor.button("Check out").click()
    visitor.add("blue")

    visitor.check_out()

    expect(visitor.page.locator("#order-contents")).to_have_text("4 blue")
    expect(visitor.page.locator("#cart")).to_have_text("The cart is empty")


def test_cart_survives_a_reload(visit):
    visitor = visit()
    visitor.add("red", 2)

    visitor.page.reload()

    expect(visitor.page.locator("#cart")).to_have_text("2 items, nothing to pay")
    expect(visitor.page.get_by_role("status", name="Red in the cart")).to_have_text("2")


def test_history_is_polled_if_streams_do_not_get_through(visit):
    visitor = visit()
    visitor.expected_errors = {501}
    problem = {"reason": "streams-unavailable", "detail": "No broker."}
    visitor.page.route("**/events", lambda route: route.fulfill(status=501, json=problem))

    visitor.run("paid", "approved")

    assert visitor.events("purchase") == ["pre-approved", "approved"]
    # A reservation that purchase received after the payment is not in the ticket's history.
    assert visitor.events("stock") in (["reserved"], [])
    assert visitor.events("delivery") == ["delivery-arranged"]


def test_broken_stream_is_resumed(visit):
    visitor = visit()
    last_ids: list[str | None] = []

    def cut_first_stream(route) -> None:
        last_ids.append(route.request.headers.get("last-event-id"))
        if len(last_ids) > 1:
            route.continue_()
            return
        data = '{"service":"purchase","status":"pre-approved","time":"2026-11-21T12:00:00.000Z"}'
        body = f"retry: 1000\n\nevent: move\nid: purchase.pre-approved\ndata: {data}\n\n"
        route.fulfill(status=200, content_type="text/event-stream", body=body)

    visitor.page.route("**/events", cut_first_stream)

    visitor.run("free", "approved")

    assert last_ids == [None, "purchase.pre-approved"]


def stream_of(*keys: str) -> str:
    """Return the body of an event stream with these events, a second apart, and its end."""
    body = ""
    for second, key in enumerate(keys):
        service, status = key.split(".")
        data = {"service": service, "status": status, "time": f"2026-11-21T12:00:0{second}.000Z"}
        body += f"event: move\nid: {key}\ndata: {json.dumps(data)}\n\n"
    return body + f"event: end\nid: end\ndata: {json.dumps({'status': 'approved'})}\n\n"


def test_added_service_gets_a_lane_once_it_publishes(visit):
    visitor = visit()
    streams: list[str] = []

    def stream(route) -> None:
        streams.append(route.request.url)
        body = stream_of("purchase.pre-approved", "purchase.approved", "loyalty.loyalty-granted")
        route.fulfill(status=200, content_type="text/event-stream", body=body)

    visitor.page.route("**/events", stream)

    visitor.run("paid", "approved")

    assert visitor.events("loyalty") == ["loyalty-granted"]
    assert len(streams) == 1


@pytest.mark.parametrize("final", [True, False])
def test_status_of_a_newer_release_is_shown_as_it_is(visit, final):
    """The page is older than the gateway, whose vocabulary may have the status already."""
    visitor = visit()

    def with_vocabulary(route) -> None:
        vocabulary = route.fetch().json()
        if final:
            vocabulary["terminal"].append("teleported")
            vocabulary["statuses"]["teleported"] = {"class": "approved", "terminal": True}
        route.fulfill(json=vocabulary)

    def stream(route) -> None:
        body = stream_of("purchase.pre-approved", "purchase.teleported")
        route.fulfill(status=200, content_type="text/event-stream", body=body)

    visitor.page.route("**/vocabulary.json", with_vocabulary)
    visitor.page.route("**/events", stream)
    visitor.open()

    visitor.start("paid")

    expect(visitor.lane("purchase").get_by_text("teleported")).to_be_visible()
    if final:
        visitor.expect_status("teleported")
        visitor.expect_outcome("Order teleported")
    else:
        visitor.expect_status("pre-approved")
