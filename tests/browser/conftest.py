"""Fixtures of the page's tests: Debian's Chromium, a suite of real processes, and visitors of its page."""

import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

from tests.browser.visitor import Visitor
from tests.support import local_suite
from tests.support.local_suite import LocalSuite

SCREENSHOTS = Path("build/ui")
PATIENCE_MILLISECONDS = 30_000
ELSEWHERE = "shop.example"
"""Where a browser finds this machine by a name of which nobody knows that it is this machine's."""
DESK = {"width": 1280, "height": 900}


@pytest.fixture(scope="session")
def chromium() -> str:
    """The path of the browser."""
    path = shutil.which("chromium")
    if path is None:
        problem = "there is no chromium on the PATH (Debian: apt-get install chromium)"
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(problem)
    return path


# Not for the session: while it is there its event loop is this thread's, and other tests have their own.
@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[Browser]:
    expect.set_options(timeout=PATIENCE_MILLISECONDS)
    with sync_playwright() as playwright:
        # CI is root in a container: no sandbox can be made there, and nothing but our own page is opened.
        arguments = [
            "--no-sandbox",
            "--disable-dev-shm-usage",
            f"--host-resolver-rules=MAP {ELSEWHERE} 127.0.0.1",
        ]
        yield playwright.chromium.launch(executable_path=chromium, args=arguments)


@pytest.fixture(scope="module")
def shop(chromium: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalSuite]:
    """A suite that the tests of a module share: whoever stops one of its services starts it again."""
    with local_suite.ready_suite(tmp_path_factory.mktemp("shop")) as suite:
        yield suite


@pytest.fixture
def visit(browser: Browser, request: pytest.FixtureRequest) -> Iterator[Callable[..., Visitor]]:
    """Opens the page of the shared suite, or another; whatever they were shown is kept as a picture."""
    with ExitStack() as stack:

        def come(suite: LocalSuite | None = None, path: str = "/ui", host: str = "", **given) -> Visitor:
            gateway = (suite or request.getfixturevalue("shop")).facts["gateway"]
            context = stack.enter_context(
                browser.new_context(**{"viewport": DESK, "color_scheme": "light", **given})
            )
            context.set_default_timeout(PATIENCE_MILLISECONDS)
            visitor = Visitor(context.new_page(), gateway.replace("127.0.0.1", host or "127.0.0.1"))
            stack.callback(visitor.leave, SCREENSHOTS / f"{_file_name(request.node.name)}.png")
            visitor.open(path)
            return visitor

        yield come


def _file_name(test: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", test.removeprefix("test_").lower()).strip("-")
