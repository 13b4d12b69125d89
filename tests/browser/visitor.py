"""Somebody at the page: what they do, what they see, and what must not happen meanwhile."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import ConsoleMessage, Locator, Page, Request, expect

_REFUSED = re.compile(r"Failed to load resource: the server responded with a status of (\d+)")
_CUT = "Failed to load resource: net::ERR_FAILED"


class Visitor:
    """One page, which complains of nothing and asks nobody but its gateway."""

    def __init__(self, page: Page, gateway: str) -> None:
        self.page = page
        self.gateway = gateway
        self.refusals: set[int] = set()
        """The statuses that this visitor has to expect; Chromium notes each in the console."""
        self.network_fails = False
        """Whether this visitor's network is cut by the test; the console has that as well."""
        self._complaints: list[str] = []
        self._elsewhere: list[str] = []
        page.on("console", self._said)
        page.on("pageerror", lambda error: self._complaints.append(f"{error}"))
        page.on("request", self._asked)

    def open(self, path: str = "/ui") -> None:
        self.page.goto(self.gateway + path)

    def leave(self, picture: Path) -> None:
        """Keeps what is to be seen; fails where the page has complained, or asked somebody else."""
        picture.parent.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=picture, full_page=True, animations="disabled")
        assert not self._complaints, "; ".join(self._complaints)
        assert not self._elsewhere, "; ".join(self._elsewhere)

    @property
    def order(self) -> Locator:
        return self.page.locator("#order")

    @property
    def orderid(self) -> str:
        return self.page.evaluate("location.hash.slice(1)")

    def add(self, itemid: str, pieces: int = 1) -> None:
        for _ in range(pieces):
            self.page.get_by_role("button", name=f"Add a piece of {itemid}").click()

    def check_out(self) -> None:
        with self._another_order():
            self.page.get_by_role("button", name="Check out").click()

    def choose(self, case: str) -> None:
        """One of the cases, by the name its button has."""
        with self._another_order():
            self.page.locator(f"[data-case={case}]").click()

    def sees(self, status: str) -> None:
        """Return once the order is shown with that status."""
        expect(self.page.locator("#order-status")).to_have_text(status)

    def sees_it_over(self) -> None:
        """Return once nothing more will happen to the order."""
        expect(self.order).to_have_attribute("data-over", "true")

    def sees_waiting_for(self, service: str) -> None:
        expect(self.lane(service).get_by_text("waiting")).to_be_visible()

    def lane(self, service: str) -> Locator:
        return self.page.locator(f".lane[data-service={service}]")

    def moves(self, service: str) -> list[str]:
        """The words in the lane of a service, in their order."""
        return self.lane(service).locator("[data-move] .word").all_inner_texts()

    def book(self, name: str) -> str:
        """What stands in the books beside the order, such as `blue.sold` or `payment.status`."""
        return self.page.locator(f"[data-book='{name}']").inner_text()

    def sees_book(self, name: str, text: str | re.Pattern[str]) -> None:
        expect(self.page.locator(f"[data-book='{name}']")).to_have_text(text)

    def latest(self) -> list[tuple[str, str]]:
        """The orders that are listed: orderid and status, the latest first."""
        rows = self.page.locator("#orders a").all()
        return [(row.get_attribute("data-orderid") or "", row.locator(".pill").inner_text()) for row in rows]

    def steer(self, what: str, service: str) -> None:
        """Stop or start a service by its button; return once that is done."""
        self.page.get_by_role("button", name=f"{what} {service}", exact=True).click()
        other = "Start" if what == "Stop" else "Stop"
        expect(self.page.get_by_role("button", name=f"{other} {service}", exact=True)).to_be_visible()

    @contextmanager
    def _another_order(self) -> Iterator[None]:
        """What is seen from then on is seen of another order than before."""
        title = self.page.locator("#order-title")
        before = title.inner_text()
        yield
        expect(title).not_to_have_text(before)

    def _said(self, message: ConsoleMessage) -> None:
        refused = _REFUSED.match(message.text)
        expected = (
            int(refused[1]) in self.refusals if refused else message.text == _CUT and self.network_fails
        )
        if message.type in {"error", "warning"} and not expected:
            self._complaints.append(f"{message.text} ({message.location.get('url')})")

    def _asked(self, request: Request) -> None:
        if not request.url.startswith((f"{self.gateway}/", "blob:", "data:")):
            self._elsewhere.append(request.url)
