"""Screenshots and a recording of the web UI: orders with different outcomes, and one that waits."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, expect

from tests.browser.visitor import Visitor
from tests.screenshots.screencast import Screencast

_DESKTOP = {"width": 1280, "height": 920}
_PHONE = {
    "viewport": {"width": 390, "height": 844},
    "device_scale_factor": 2,
    "is_mobile": True,
    "has_touch": True,
}
STILLS: Mapping[str, Mapping[str, Any]] = {
    "web-ui-light.png": {"viewport": _DESKTOP, "color_scheme": "light"},
    "web-ui-dark.png": {"viewport": _DESKTOP, "color_scheme": "dark"},
    "web-ui-phone.png": {**_PHONE, "color_scheme": "light"},
}
"""The browser's settings for each file."""
RECORDING = "web-ui.webp"
_RECORDED_SIZE = {"width": 1180, "height": 800}
_READING_SECONDS = 1.3


def still(browser: Browser, gateway: str, file: Path, settings: Mapping[str, Any]) -> None:
    """Take a screenshot after three orders: one sold out, one declined, and one approved and settled."""
    with browser.new_context(**settings, reduced_motion="reduce", locale="en-GB") as context:
        visitor = Visitor(context.new_page(), gateway)
        visitor.open()
        visitor.run("sold-out", "reserve-failed")
        visitor.run("declined", "payment-failed")
        visitor.run("paid", "approved")
        visitor.page.evaluate("scrollTo(0, 0)")
        if settings["viewport"]["width"] < _DESKTOP["width"]:
            visitor.page.locator("#order").evaluate("order => order.scrollIntoView()")
        visitor.page.screenshot(path=file, animations="disabled")


def record(browser: Browser, gateway: str, file: Path) -> None:
    """Record an order that is approved, and one that waits for payment until payment is started again."""
    with browser.new_context(viewport=_RECORDED_SIZE, color_scheme="light", locale="en-GB") as context:
        visitor = Visitor(context.new_page(), gateway)
        visitor.open()
        expect(visitor.button("Stop payment")).to_be_visible()
        with Screencast(visitor.page) as cast:
            cast.wait(_READING_SECONDS / 2)
            visitor.add("blue", 3)
            cast.wait(_READING_SECONDS / 2)
            visitor.check_out()
            visitor.expect_settled("approved")
            cast.wait(2 * _READING_SECONDS)
            visitor.stop_service("payment")
            cast.wait(_READING_SECONDS / 2)
            visitor.start("paid")
            visitor.expect_waiting_for("payment")
            cast.wait(2 * _READING_SECONDS)
            visitor.start_service("payment")
            visitor.expect_settled("approved")
            cast.wait(2 * _READING_SECONDS)
        cast.save(file)
