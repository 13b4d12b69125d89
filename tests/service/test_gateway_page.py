"""The page's files, by HTTP: who gets them, and to what browsers are held."""

import ast
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from services.gateway.app import Lifecycle, create_app
from services.gateway.clients import SERVICES, Clients
from services.gateway.middleware import MiddlewareConfig
from services.gateway.settings import RequestLimits
from services.gateway.static_ui import FILES, prefers_html
from tests.service.gateway_harness import assert_problem, client_of, gateway

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"


@pytest.mark.parametrize("accept", [BROWSER, "text/html", "TEXT/HTML;q=0.9, */*;q=0.8"])
async def test_a_browser_that_asks_for_the_root_gets_the_page(accept):
    async with gateway({}) as client:
        response = await client.get("/", headers={"accept": accept})

    assert response.headers["content-type"] == "text/html; charset=utf-8"
    assert "<h1>Saga suite</h1>" in response.text
    assert response.headers["vary"] == "Accept"


@pytest.mark.parametrize(
    "accept", ["*/*", "", "text/plain, text/html;q=0.5", "text/html;q=0", "text/html;q=x"]
)
async def test_everybody_else_gets_the_name(accept):
    async with gateway({}) as client:
        response = await client.get("/", headers={"accept": accept})

    assert response.text == "api-gateway"
    assert response.headers["content-type"] == "text/plain; charset=utf-8"
    assert response.headers["vary"] == "Accept"


def test_no_accept_header_is_no_browser():
    assert not prefers_html("")


async def test_a_browser_runs_nothing_that_is_inline_or_from_elsewhere():
    async with gateway({}) as client:
        answers = [
            await client.get(path) for path in ("/ui", "/ui/", "/ui/main.js", "/ui/base.css", "/ui/icon.svg")
        ]

    for answer in answers:
        policy = dict(each.split(" ", 1) for each in answer.headers["content-security-policy"].split("; "))
        assert answer.status_code == 200
        assert policy["default-src"] == "'none'"
        assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
        assert policy["frame-ancestors"] == policy["base-uri"] == policy["form-action"] == "'none'"
        assert answer.headers["cache-control"] == "no-cache"
        assert answer.headers["x-content-type-options"] == "nosniff"


async def test_files_that_have_not_changed_are_not_sent_again():
    async with gateway({}) as client:
        first = await client.get("/ui/main.js")
        second = await client.get("/ui/main.js", headers={"if-none-match": first.headers["etag"]})

    assert re.match("(text|application)/javascript", first.headers["content-type"])
    assert (second.status_code, second.content) == (304, b"")


@pytest.mark.parametrize("path", ["/ui/nothing.js", "/ui/../app.py", "/ui/%2e%2e/app.py", "/ui/services"])
async def test_nothing_else_is_there(path):
    async with gateway({}) as client:
        assert_problem(await client.get(path), 404, "no-such-path")


async def test_the_page_is_told_where_it_runs():
    async with gateway({}) as client:
        config = (await client.get("/ui/config")).json()

    assert config == {"sign_in": False, "can_control": False}


async def test_the_page_is_told_where_traces_can_be_looked_at():
    where = "https://traces.example/{trace_id}"
    app = create_app(Clients(dict.fromkeys(SERVICES, "ipv4:127.0.0.1:1"), 1), Lifecycle(), trace_url=where)
    async with client_of(app) as client:
        config = (await client.get("/ui/config")).json()

    assert config["trace_url"] == where


async def test_the_page_is_no_part_of_the_api_document():
    async with gateway({}) as client:
        paths = (await client.get("/openapi.json")).json()["paths"]

    assert not [path for path in paths if path.startswith("/ui")]


async def test_a_page_of_many_files_is_no_crowd_of_requests():
    config = MiddlewareConfig(RequestLimits(rate_per_client=1))
    app = create_app(Clients(dict.fromkeys(SERVICES, "ipv4:127.0.0.1:1"), 1), Lifecycle(), config=config)

    async with client_of(app) as client:
        files = [await client.get("/ui/main.js") for _ in range(20)]
        others = [await client.get("/openapi.json") for _ in range(4)]

    assert {each.status_code for each in files} == {200}
    assert 429 in {each.status_code for each in others}


def test_nothing_in_the_page_is_inline_and_everything_it_names_is_there():
    html = (FILES / "index.html").read_text()
    named = re.findall(r'(?:src|href)="/ui/([^"]+)"', html)
    imported = [
        each for file in FILES.glob("*.js") for each in re.findall(r'from "\./([^"]+)"', file.read_text())
    ]

    assert not re.search(r'<style|<script(?![^>]* src=)| style="| on[a-z]+="', html)
    assert not [name for name in {*named, *imported} if not (FILES / name).is_file()]
    unused = {file.name for file in FILES.iterdir()} - {*named, *imported, "index.html"}
    assert not unused


def test_no_file_of_the_page_names_an_address_elsewhere():
    found = {
        file.name: set(re.findall(r"(?:https?:)?//[a-z0-9.-]+\.[a-z]{2,}", file.read_text()))
        for file in FILES.iterdir()
    }

    allowed = "http://www.w3.org"  # The namespace of drawings, which nobody loads.
    assert not {name: urls for name, urls in found.items() if urls - {allowed}}


def test_the_wheel_has_the_page_in_it(tmp_path):
    build = "from hatchling.build import build_wheel; import sys; print(repr(build_wheel(sys.argv[1])))"
    built = subprocess.run(
        [sys.executable, "-c", build, str(tmp_path)], check=True, capture_output=True, text=True
    )

    wheel = Path(tmp_path, ast.literal_eval(built.stdout.splitlines()[-1]))
    inside = {name for name in zipfile.ZipFile(wheel).namelist() if name.startswith("services/gateway/ui/")}
    assert inside == {f"services/gateway/ui/{file.name}" for file in FILES.iterdir()}
