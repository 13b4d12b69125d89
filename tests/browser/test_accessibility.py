"""The web UI by keyboard, with a screen reader, in dark mode, on a phone, and without JavaScript."""

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from tests.browser.visitor import Visitor

PHONE = {"width": 360, "height": 740}
MAX_TABS = 60


def test_phone_needs_no_horizontal_scrolling(visit):
    visitor = visit(viewport=PHONE)
    fits = "document.documentElement.scrollWidth <= innerWidth"
    assert visitor.page.evaluate(fits)

    visitor.run("declined", "payment-failed")

    assert visitor.page.evaluate(fits)
    assert visitor.events("stock") == ["reserved", "released"]
    boxes = [event.bounding_box() for event in visitor.page.locator("[data-event]").all()]
    assert all(box["x"] >= 0 and box["x"] + box["width"] <= PHONE["width"] for box in boxes)
    assert len({box["y"] for box in boxes}) == len(boxes), "events overlap"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("device", [{}, {"viewport": PHONE}], ids=["desktop", "phone"])
def test_axe_finds_no_violations(visit, scheme, device):
    visitor = visit(color_scheme=scheme, reduced_motion="reduce", **device)
    expect(visitor.page.locator("[data-scenario=paid]")).to_be_visible()
    assert violations(visitor) == []

    for scenario, status in (("paid", "approved"), ("declined", "payment-failed")):
        visitor.run(scenario, status)
        assert violations(visitor) == []


def violations(visitor: Visitor) -> list[str]:
    found = Axe().run(visitor.page).response["violations"]
    return [f"{rule['id']}: {node['html']}" for rule in found for node in rule["nodes"]]


def test_order_is_placed_by_keyboard_alone(visit):
    visitor = visit()
    expect(visitor.page.locator("[data-scenario=paid]")).to_be_visible()

    tab_to(visitor, "Add one blue")
    visitor.page.keyboard.press("Enter")
    visitor.page.keyboard.press("Enter")
    tab_to(visitor, "Check out")
    visitor.page.keyboard.press("Enter")
    visitor.expect_settled("approved")

    assert visitor.page.evaluate("document.activeElement.id") == "order"
    expect(visitor.page.locator("#order-contents")).to_have_text("2 blue")
    tab_to(visitor, "Sold out: 1 yellow, none in stock", key="Shift+Tab")
    visitor.page.keyboard.press("Enter")
    visitor.expect_settled("reserve-failed")
    tab_to(visitor, "2 blue")
    visitor.page.keyboard.press("Enter")
    visitor.expect_status("approved")


def tab_to(visitor: Visitor, name: str, key: str = "Tab") -> None:
    """Move the focus to the element with this name; the focus must be visible all the way."""
    for _ in range(MAX_TABS):
        visitor.page.keyboard.press(key)
        focused = visitor.page.evaluate(
            "(() => { const node = document.activeElement; return {"
            "name: node.getAttribute('aria-label') ?? node.textContent.trim(),"
            "isVisible: node === document.body || getComputedStyle(node).outlineStyle !== 'none' } })()"
        )
        assert focused["isVisible"], focused
        if focused["name"].startswith(name):
            return
    raise AssertionError(f"{MAX_TABS} tabs do not reach {name!r}")


def test_screen_reader_announces_each_event(visit):
    visitor = visit()

    visitor.run("paid", "approved")

    log = visitor.page.get_by_role("log")
    expect(log).to_contain_text("Stock: reserved")
    expect(log).to_contain_text("Delivery: delivery-arranged")
    expect(log.locator("p")).to_have_count(7)
    # An event that arrives before its cause is announced without the time since then.
    assert " after " in log.inner_text()
    timeline = visitor.page.get_by_role("list", name="Events by service")
    expect(timeline.get_by_role("list", name="Payment").get_by_role("listitem")).to_have_count(2)


def test_skip_link_moves_the_focus_to_the_order(visit):
    visitor = visit()
    visitor.run("paid", "approved")
    orderid = visitor.orderid

    visitor.page.locator("#skip").focus()
    visitor.page.keyboard.press("Enter")

    assert visitor.page.evaluate("document.activeElement.id") == "order"
    assert visitor.orderid == orderid


def test_without_javascript_the_page_shows_curl_commands(visit):
    visitor = visit(java_script_enabled=False)

    expect(visitor.page.locator("noscript pre")).to_contain_text("curl -N")
    expect(visitor.page.get_by_role("button")).to_have_count(0)
