"""The site of the documentation, as `make site` builds it: in a browser, without requests to other hosts."""

import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

ROOT = Path(__file__).parents[2]
SITE = ROOT / "build/site"

pytestmark = pytest.mark.timeout(400)


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *arguments: object) -> None:
        pass


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    """Build the site, in strict mode, and return the address at which it is served."""
    make = ("make", "--no-print-directory", f"PYTHON={sys.executable}", "site")
    made = subprocess.run(make, cwd=ROOT, capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stdout + made.stderr
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=SITE))
    serving = threading.Thread(target=server.serve_forever)
    serving.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    serving.join()
    server.server_close()


@pytest.fixture
def page(browser: Browser, site: str) -> Iterator[Page]:
    """A page of the site; afterwards it must have requested nothing from another host."""
    page = browser.new_page()
    requested: list[str] = []
    page.on("request", lambda request: requested.append(request.url))
    yield page
    page.close()
    others = [url for url in requested if not url.startswith((site, "data:", "blob:"))]
    assert requested
    assert others == []


def test_search_finds_a_setting(page: Page, site: str):
    page.goto(site)

    page.get_by_placeholder("Search").first.fill("REMINDER_INTERVAL_SECONDS")

    expect(page.locator(".md-search-result__link").first).to_be_visible()
    expect(page.locator(".md-search-result").first).to_contain_text("Configuration")


@pytest.mark.parametrize("path", ["architecture", "tutorial/first-saga"])
def test_diagrams_are_drawn(page: Page, site: str, path: str):
    page.goto(f"{site}/{path}/")

    expect(page.locator("div.mermaid")).to_have_count(1)
    expect(page.locator("pre.mermaid")).to_have_count(0)


def test_every_page_has_its_resources(page: Page, site: str):
    failed: list[str] = []
    page.on("response", lambda response: response.status < 400 or failed.append(response.url))
    paths = [file.parent.relative_to(SITE).as_posix() for file in SITE.rglob("index.html")]
    once = [path for path in paths if not path.startswith("decisions/00")]
    assert len(once) > 10

    for path in once:
        page.goto(f"{site}/{path}/")

    assert failed == []


@pytest.mark.parametrize(
    ("link", "named"),
    [("[x](missing-page.md)", "missing-page.md"), ("[x](#missing-anchor)", "#missing-anchor")],
)
def test_broken_link_fails(site: str, tmp_path: Path, link: str, named: str):
    for each in ROOT.iterdir():
        if each.name not in {"docs", "build", ".git"}:
            (tmp_path / each.name).symlink_to(each)
    shutil.copytree(ROOT / "docs", tmp_path / "docs")
    (tmp_path / "build").mkdir()
    (tmp_path / "build/mermaid").symlink_to(ROOT / "build/mermaid")
    with (tmp_path / "docs/glossary.md").open("a") as page:
        page.write(f"\n{link}\n")
    up_to_date = [f"-o{each}" for each in (".venv/.run", ".venv/.site")]

    make = ("make", *up_to_date, "site")
    made = subprocess.run(make, cwd=tmp_path, capture_output=True, text=True, check=False)

    assert made.returncode != 0
    assert named in made.stderr
