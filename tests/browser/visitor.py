"""A visitor of the web UI: what they do and see; errors in the console fail the test."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import ConsoleMessage, Locator, Page, Request, expect

_HTTP_ERROR = re.compile(r"Failed to load resource: the server responded with a status of (\d+)")
_NETWORK_ERROR = "Failed to load resource: net::ERR_FAILED"


class Visitor:
    """One page, which logs no error and sends requests to its gateway only."""

    def __init__(self, page: Page, gateway: str) -> None:
        self.page = page
        self.gateway = gateway
        self.expected_errors: set[int] = set()
        """HTTP statuses the test provokes; Chromium logs each to the console."""
        self.expects_network_errors = False
        """Whether the test aborts requests; Chromium logs that, too."""
        self._problems: list[str] = []
        page.on("console", self._check_message)
        page.on("pageerror", lambda error: self._problems.append(f"{error}"))
        page.on("request", self._check_request)

    def open(self, path: str = "/ui") -> None:
        self.page.goto(self.gateway + path)

    def close(self, screenshot: Path) -> None:
        """Save a screenshot; fail if the page logged an error or sent a request to another origin."""
        screenshot.parent.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=screenshot, full_page=True, animations="disabled")
        assert not self._problems, "; ".join(self._problems)

    @property
    def orderid(self) -> str:
        return self.page.evaluate("location.hash.slice(1)")

    def button(self, name: str) -> Locator:
        return self.page.get_by_role("button", name=name, exact=True)

    def add(self, itemid: str, count: int = 1) -> None:
        for _ in range(count):
            self.button(f"Add one {itemid}").click()

    def check_out(self) -> None:
        with self._new_order():
            self.button("Check out").click()

    def start(self, scenario: str) -> None:
        """Press a scenario's button; return once its order is shown."""
        with self._new_order():
            self.page.locator(f"[data-scenario={scenario}]").click()

    def run(self, scenario: str, status: str | re.Pattern[str]) -> None:
        """Start a scenario; return once its order is settled with this status."""
        self.start(scenario)
        self.expect_settled(status)

    def expect_status(self, status: str | re.Pattern[str]) -> None:
        expect(self.page.locator("#order-status")).to_have_text(status)

    def expect_settled(self, status: str | re.Pattern[str]) -> None:
        """Return once the order has this status and nothing more will happen to it."""
        self.expect_status(status)
        expect(self.page.locator("#order")).to_have_attribute("data-settled", "true")

    def expect_waiting_for(self, service: str) -> None:
        expect(self.lane(service).get_by_text("waiting")).to_be_visible()

    def expect_outcome(self, text: str | re.Pattern[str]) -> None:
        expect(self.page.locator("#outcome")).to_contain_text(text)

    def expect_field(self, field: str, text: str) -> None:
        """Return once a field of the panel, such as `blue.sold` or `payment.status`, has this text."""
        expect(self.page.locator(f"[data-field='{field}']")).to_have_text(text)

    def lane(self, service: str) -> Locator:
        return self.page.locator(f".lane[data-service={service}]")

    def events(self, service: str) -> list[str]:
        """Return the statuses in a service's lane, in order."""
        return self.lane(service).locator("[data-event] .status").all_inner_texts()

    def recent_orders(self) -> list[tuple[str, str]]:
        """Return orderid and status of the listed orders, newest first."""
        rows = self.page.locator("#orders a").all()
        return [(row.get_attribute("data-orderid") or "", row.locator(".pill").inner_text()) for row in rows]

    def stop_service(self, service: str) -> None:
        self.button(f"Stop {service}").click()
        expect(self.button(f"Start {service}")).to_be_visible()

    def start_service(self, service: str) -> None:
        self.button(f"Start {service}").click()
        expect(self.button(f"Stop {service}")).to_be_visible()

    @contextmanager
    def stopped(self, service: str) -> Iterator[None]:
        """Stop a service, and start it again unless the block has done so."""
        self.expected_errors |= {503}
        self.stop_service(service)
        try:
            yield
        finally:
            if self.button(f"Start {service}").is_visible():
                self.start_service(service)

    @contextmanager
    def _new_order(self) -> Iterator[None]:
        """Return once another order than before is shown."""
        title = self.page.locator("#order-title")
        before = title.inner_text()
        yield
        expect(title).not_to_have_text(before)

    def _check_message(self, message: ConsoleMessage) -> None:
        http_error = _HTTP_ERROR.match(message.text)
        is_expected = (
            int(http_error[1]) in self.expected_errors
            if http_error
            else self.expects_network_errors and message.text == _NETWORK_ERROR
        )
        if message.type in {"error", "warning"} and not is_expected:
            self._problems.append(f"{message.text} ({message.location.get('url')})")

    def _check_request(self, request: Request) -> None:
        if not request.url.startswith((f"{self.gateway}/", "blob:", "data:")):
            self._problems.append(f"request to {request.url}")
