"""`python -m tests.screenshots [DIRECTORY]`: makes every picture of the documentation, into docs/images."""

import shutil
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Browser, expect, sync_playwright

from tests.screenshots.page import RECORDING, STILLS, record, still
from tests.screenshots.terminal import WATCH, watch
from tests.support.local_suite import LocalSuite, ready_suite

PATIENCE_MILLISECONDS = 60_000
PICTURES = (*STILLS, RECORDING, WATCH)
"""The names of their files."""


def make_pictures(directory: Path) -> None:
    """All of them are in `directory`, made of a fresh suite. RuntimeError: there is no browser."""
    chromium = shutil.which("chromium")
    if chromium is None:
        raise RuntimeError("there is no chromium on the PATH (Debian: apt-get install chromium)")
    directory.mkdir(parents=True, exist_ok=True)
    expect.set_options(timeout=PATIENCE_MILLISECONDS)
    with tempfile.TemporaryDirectory() as run, ready_suite(Path(run)) as suite:
        # First, for afterwards this thread has an event loop of the browser's.
        watch(suite, directory / WATCH)
        with sync_playwright() as playwright:
            arguments = ["--no-sandbox", "--disable-dev-shm-usage", "--hide-scrollbars"]
            browser = playwright.chromium.launch(executable_path=chromium, args=arguments)
            _of_the_page(browser, suite, directory)


def _of_the_page(browser: Browser, suite: LocalSuite, directory: Path) -> None:
    for name, settings in STILLS.items():
        still(browser, suite.facts["gateway"], directory / name, settings)
    record(browser, suite.facts["gateway"], directory / RECORDING)


if __name__ == "__main__":
    make_pictures(Path(sys.argv[1] if len(sys.argv) > 1 else "docs/images"))
