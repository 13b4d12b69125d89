"""`python -m tests.screenshots [DIRECTORY]`: make every screenshot; the default directory is docs/images."""

import shutil
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Browser, expect, sync_playwright

from tests.screenshots.terminal import DASHBOARD, save_dashboard
from tests.screenshots.web_ui import RECORDING, STILLS, record, still
from tests.support.local_suite import LocalSuite, ready_suite

TIMEOUT_MILLISECONDS = 60_000
PICTURES = (*STILLS, RECORDING, DASHBOARD)
"""File names."""


def make_screenshots(directory: Path) -> None:
    """Write all screenshots to `directory`. Raises RuntimeError if no browser is installed."""
    chromium = shutil.which("chromium")
    if chromium is None:
        raise RuntimeError("no chromium on the PATH (Debian: apt-get install chromium)")
    directory.mkdir(parents=True, exist_ok=True)
    expect.set_options(timeout=TIMEOUT_MILLISECONDS)
    with tempfile.TemporaryDirectory() as run, ready_suite(Path(run)) as suite:
        # First, because afterwards this thread has the browser's event loop.
        save_dashboard(suite, directory / DASHBOARD)
        with sync_playwright() as playwright:
            arguments = ["--no-sandbox", "--disable-dev-shm-usage", "--hide-scrollbars"]
            browser = playwright.chromium.launch(executable_path=chromium, args=arguments)
            _save_web_ui(browser, suite, directory)


def _save_web_ui(browser: Browser, suite: LocalSuite, directory: Path) -> None:
    for name, settings in STILLS.items():
        still(browser, suite.facts["gateway"], directory / name, settings)
    record(browser, suite.facts["gateway"], directory / RECORDING)


if __name__ == "__main__":
    make_screenshots(Path(sys.argv[1] if len(sys.argv) > 1 else "docs/images"))
