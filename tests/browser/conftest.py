"""Fixtures of the web UI's tests: Chromium, a suite of real processes, and visitors of its web UI."""

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
TIMEOUT_MILLISECONDS = 30_000
OTHER_HOST = "shop.example"
"""A host name that Chromium resolves to this machine, although it is no loopback name."""
DESKTOP = {"width": 1280, "height": 900}


@pytest.fixture(scope="session")
def chromium() -> str:
    """Return the path of the browser."""
    path = shutil.which("chromium")
    if path is None:
        problem = "no chromium on the PATH (Debian: apt-get install chromium)"
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(problem)
    return path


# Not for the session: Playwright's event loop occupies this thread, and other tests have their own.
@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[Browser]:
    expect.set_options(timeout=TIMEOUT_MILLISECONDS)
    # CI runs as root in a container, in which Chromium has no sandbox; only our own pages are opened.
    host_rule = f"--host-resolver-rules=MAP {OTHER_HOST} 127.0.0.1"
    arguments = ["--no-sandbox", "--disable-dev-shm-usage", host_rule]
    with sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=chromium, args=arguments)


@pytest.fixture(scope="module")
def shop(chromium: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalSuite]:
    """The suite shared by the tests of a module; a test that stops a service starts it again."""
    environ = {"ALLOWED_HOSTS": OTHER_HOST}
    with local_suite.ready_suite(tmp_path_factory.mktemp("shop"), environ=environ) as suite:
        yield suite


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., LocalSuite]]:
    """Start a suite of the test's own."""
    with ExitStack() as stack:
        yield lambda *options, **settings: stack.enter_context(
            local_suite.ready_suite(tmp_path, *options, **settings)
        )


# Pages ask their suite for its services every few seconds: suites end after the visits.
@pytest.fixture
def visit(
    browser: Browser,
    request: pytest.FixtureRequest,
    start: Callable[..., LocalSuite],
) -> Iterator[Callable[..., Visitor]]:
    """Open the web UI of the shared suite, or of another; afterwards save a screenshot."""
    name = re.sub(r"[^a-z0-9]+", "-", request.node.name.removeprefix("test_").lower()).strip("-")
    with ExitStack() as stack:

        def open_ui(
            suite: LocalSuite | None = None, path: str = "/ui", host: str = "127.0.0.1", **settings
        ) -> Visitor:
            gateway = (suite or request.getfixturevalue("shop")).facts["gateway"]
            defaults = {"viewport": DESKTOP, "color_scheme": "light"}
            context = stack.enter_context(browser.new_context(**{**defaults, **settings}))
            context.set_default_timeout(TIMEOUT_MILLISECONDS)
            visitor = Visitor(context.new_page(), gateway.replace("127.0.0.1", host))
            stack.callback(visitor.close, SCREENSHOTS / f"{name}.png")
            visitor.open(path)
            return visitor

        yield open_ui
