"""The page in pictures: orders that went one way or another, and one that waits for a service."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, expect

from tests.browser.visitor import Visitor
from tests.screenshots.screencast import Screencast

_DESK = {"width": 1280, "height": 920}
_PHONE = {
    "viewport": {"width": 390, "height": 844},
    "device_scale_factor": 2,
    "is_mobile": True,
    "has_touch": True,
}
STILLS: Mapping[str, Mapping[str, Any]] = {
    "page-light.png": {"viewport": _DESK, "color_scheme": "light"},
    "page-dark.png": {"viewport": _DESK, "color_scheme": "dark"},
    "page-phone.png": {**_PHONE, "color_scheme": "light"},
}
"""What the browser is like for each."""
RECORDING = "page.webp"
_STAGE = {"width": 1180, "height": 800}
_READ_SECONDS = 1.3


def still(browser: Browser, gateway: str, file: Path, settings: Mapping[str, Any]) -> None:
    """An order that was sold out, one that was declined, and one that is approved and at rest."""
    with browser.new_context(**settings, reduced_motion="reduce", locale="en-GB") as context:
        visitor = Visitor(context.new_page(), gateway)
        visitor.open()
        for case, status in (
            ("sold-out", "reserve-failed"),
            ("declined", "payment-failed"),
            ("paid", "approved"),
        ):
            visitor.choose(case)
            visitor.sees(status)
            visitor.sees_it_over()
        visitor.page.evaluate("scrollTo(0, 0)")
        if settings["viewport"]["width"] < _DESK["width"]:
            visitor.order.scroll_into_view_if_needed()
            visitor.order.evaluate("order => order.scrollIntoView()")
        visitor.page.screenshot(path=file, animations="disabled")


def record(browser: Browser, gateway: str, file: Path) -> None:
    """An order goes through; payment is stopped, the next order waits for it, and ends once it is started."""
    with browser.new_context(viewport=_STAGE, color_scheme="light", locale="en-GB") as context:
        visitor = Visitor(context.new_page(), gateway)
        visitor.open()
        expect(visitor.page.get_by_role("button", name="Stop payment", exact=True)).to_be_visible()
        with Screencast(visitor.page) as cast:
            cast.roll(_READ_SECONDS / 2)
            visitor.add("blue", 3)
            cast.roll(_READ_SECONDS / 2)
            visitor.check_out()
            visitor.sees_it_over()
            cast.roll(2 * _READ_SECONDS)
            visitor.steer("Stop", "payment")
            cast.roll(_READ_SECONDS / 2)
            visitor.choose("paid")
            visitor.sees_waiting_for("payment")
            cast.roll(2 * _READ_SECONDS)
            visitor.steer("Start", "payment")
            visitor.sees_it_over()
            cast.roll(2 * _READ_SECONDS)
        cast.save(file)
