"""The page for everybody: by keyboard, by ear, in the dark, on a phone, without JavaScript or streams."""

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from tests.browser.visitor import Visitor

PHONE = {"width": 360, "height": 740}
MOST_TABS = 60


def fits(visitor: Visitor) -> bool:
    """Whether nothing sticks out to the side."""
    return visitor.page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def violations(visitor: Visitor) -> list[str]:
    found = Axe().run(visitor.page).response["violations"]
    return [
        f"{each['id']}: {node['html']} {node['failureSummary']}" for each in found for node in each["nodes"]
    ]


def test_a_phone_shows_it_all_without_scrolling_sideways(visit):
    visitor = visit(viewport=PHONE)
    assert fits(visitor)

    visitor.choose("declined")
    visitor.sees_it_over()

    assert fits(visitor)
    assert visitor.moves("stock") == ["reserved", "released"]
    boxes = [place.bounding_box() for place in visitor.page.locator("[data-move]").all()]
    assert all(box["x"] >= 0 and box["x"] + box["width"] <= PHONE["width"] for box in boxes)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("viewport", [None, PHONE], ids=["desk", "phone"])
def test_axe_finds_nothing_before_an_order_and_after_it(visit, scheme, viewport):
    visitor = visit(
        color_scheme=scheme, reduced_motion="reduce", **({"viewport": viewport} if viewport else {})
    )
    expect(visitor.page.locator("[data-case=paid]")).to_be_visible()
    assert violations(visitor) == []

    for case in ("paid", "declined"):
        visitor.choose(case)
        visitor.sees_it_over()
        assert violations(visitor) == []


def test_an_order_is_made_and_looked_at_by_keyboard_alone(visit):
    visitor = visit()
    expect(visitor.page.locator("[data-case=paid]")).to_be_visible()

    press(visitor, "Add a piece of blue")
    press(visitor, "Add a piece of blue", again=True)
    press(visitor, "Check out")
    visitor.sees("approved")
    visitor.sees_it_over()

    assert visitor.page.evaluate("document.activeElement.id") == "order"
    expect(visitor.page.locator("#order-what")).to_have_text("2 blue")
    press(visitor, "Sold out: 1 yellow, there is none", backwards=True)
    visitor.sees("reserve-failed")
    visitor.sees_it_over()
    press(visitor, "2 blue")
    visitor.sees("approved")


def press(visitor: Visitor, name: str, again: bool = False, backwards: bool = False) -> None:
    """Tab to what is called that, and press Enter; the focus must be seen all the way."""
    for _ in range(MOST_TABS):
        if not again:
            visitor.page.keyboard.press("Shift+Tab" if backwards else "Tab")
        focused = visitor.page.evaluate(
            "(() => { const at = document.activeElement; return {"
            "name: at.getAttribute('aria-label') ?? at.textContent.trim(),"
            "isSeen: at === document.body || getComputedStyle(at).outlineStyle !== 'none' } })()"
        )
        assert focused["isSeen"], focused
        if focused["name"].startswith(name):
            visitor.page.keyboard.press("Enter")
            return
    raise AssertionError(f"no tab comes to {name!r}")


def test_each_move_is_told_to_who_listens(visit):
    visitor = visit()

    visitor.choose("paid")
    visitor.sees_it_over()

    log = visitor.page.get_by_role("log")
    expect(log).to_contain_text("Stock: reserved after")
    expect(log).to_contain_text("Delivery: delivery-arranged after")
    assert log.locator("p").count() == 7
    lanes = visitor.page.get_by_role("list", name="Moves of each service")
    expect(lanes.get_by_role("list", name="Payment").get_by_role("listitem")).to_have_count(2)


def test_the_first_tab_leads_past_the_shop(visit):
    visitor = visit()
    visitor.choose("paid")
    visitor.sees_it_over()
    orderid = visitor.orderid
    visitor.page.evaluate("document.activeElement.blur()")

    visitor.page.locator("#skip").focus()
    visitor.page.keyboard.press("Enter")

    assert visitor.page.evaluate("document.activeElement.id") == "order"
    assert visitor.orderid == orderid


def test_without_javascript_it_says_how_to_curl(visit):
    visitor = visit(java_script_enabled=False)

    expect(visitor.page.locator("noscript pre")).to_contain_text("curl -N")
    # Nothing that would do nothing is offered.
    expect(visitor.page.get_by_role("button")).to_have_count(0)


def test_where_streams_do_not_get_through_the_history_is_read(visit):
    visitor = visit()
    visitor.refusals = {501}
    visitor.page.route(
        "**/events",
        lambda route: route.fulfill(status=501, json={"reason": "no-events", "detail": "No broker."}),
    )

    visitor.choose("paid")

    visitor.sees("approved")
    visitor.sees_it_over()
    assert visitor.moves("purchase") == ["pre-approved", "approved"]
    # What was overtaken by the payment is not in the ticket's history.
    assert visitor.moves("stock") in (["reserved"], [])
    assert visitor.moves("delivery") == ["delivery-arranged"]


def test_a_stream_that_breaks_off_is_taken_up_where_it_was(visit):
    visitor = visit()
    asked: list[str | None] = []

    def cut_the_first(route) -> None:
        asked.append(route.request.headers.get("last-event-id"))
        if len(asked) > 1:
            route.continue_()
            return
        event = 'event: move\nid: purchase.pre-approved\ndata: {"service":"purchase","status":"pre-approved",'
        body = f'retry: 1000\n\n{event}"time":"2026-11-21T12:00:00.000Z"}}\n\n'
        route.fulfill(status=200, content_type="text/event-stream", body=body)

    visitor.page.route("**/events", cut_the_first)

    visitor.choose("free")

    visitor.sees("approved")
    visitor.sees_it_over()
    assert asked == [None, "purchase.pre-approved"]
