"""The web UI's files and configuration over HTTP."""

import ast
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from contract.tickets import CAUSES, FAILED, OPEN, PUBLISHED_BY, TERMINAL
from services.gateway.app import Lifecycle, create_app
from services.gateway.clients import SERVICES, Clients
from services.gateway.middleware import MiddlewareConfig
from services.gateway.settings import RequestLimits
from services.gateway.static_ui import FILES, SWAGGER_UI, prefers_html
from tests.service.gateway_harness import assert_loads_own_files_only, assert_problem, client_of, gateway

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"


@pytest.mark.parametrize("accept", [BROWSER, "text/html", "TEXT/HTML;q=0.9, */*;q=0.8"])
async def test_browser_gets_the_web_ui_at_the_root(accept):
    async with gateway({}) as client:
        response = await client.get("/", headers={"accept": accept})

    assert response.headers["content-type"] == "text/html; charset=utf-8"
    assert "<h1>Saga suite</h1>" in response.text
    assert response.headers["vary"] == "Accept"


@pytest.mark.parametrize(
    "accept", ["*/*", "", "text/plain, text/html;q=0.5", "text/html;q=0", "text/html;q=x"]
)
async def test_other_clients_get_the_name_at_the_root(accept):
    async with gateway({}) as client:
        response = await client.get("/", headers={"accept": accept})

    assert response.text == "api-gateway"
    assert response.headers["content-type"] == "text/plain; charset=utf-8"
    assert response.headers["vary"] == "Accept"


def test_missing_accept_header_does_not_prefer_html():
    assert not prefers_html("")


@pytest.mark.parametrize("path", ["/ui", "/ui/", "/ui/main.js", "/ui/base.css", "/ui/icon.svg"])
async def test_content_security_policy_allows_own_files_only(path):
    async with gateway({}) as client:
        response = await client.get(path)

    assert_loads_own_files_only(response)
    assert response.headers["cache-control"] == "no-cache"
    assert response.headers["x-content-type-options"] == "nosniff"


async def test_unchanged_files_are_revalidated_with_304():
    async with gateway({}) as client:
        first = await client.get("/ui/main.js")
        second = await client.get("/ui/main.js", headers={"if-none-match": first.headers["etag"]})

    assert re.match("(text|application)/javascript", first.headers["content-type"])
    assert (second.status_code, second.content) == (304, b"")


@pytest.mark.parametrize("path", ["/ui/nothing.js", "/ui/../app.py", "/ui/%2e%2e/app.py", "/ui/services"])
async def test_other_paths_are_not_found(path):
    async with gateway({}) as client:
        assert_problem(await client.get(path), 404, "not-found")


@pytest.mark.parametrize("docs", [True, False])
async def test_configuration_without_settings(docs):
    app = create_app(Clients(dict.fromkeys(SERVICES, "ipv4:127.0.0.1:1"), 1), Lifecycle(), docs=docs)
    async with client_of(app) as client:
        config = (await client.get("/ui/config")).json()

    assert config == {"sign_in": False, "can_control": False, "docs": docs}


async def test_configuration_contains_the_trace_url():
    url = "https://traces.example/{trace_id}"
    app = create_app(Clients(dict.fromkeys(SERVICES, "ipv4:127.0.0.1:1"), 1), Lifecycle(), trace_url=url)
    async with client_of(app) as client:
        config = (await client.get("/ui/config")).json()

    assert config["trace_url"] == url


async def test_vocabulary_is_the_contracts():
    async with gateway({}) as client:
        vocabulary = (await client.get("/ui/vocabulary.json")).json()

    statuses = vocabulary["statuses"]
    assert {each for each in statuses if statuses[each]["class"] == "open"} == OPEN
    assert {each for each in statuses if statuses[each]["terminal"]} == TERMINAL
    assert vocabulary["terminal"] == sorted(TERMINAL)
    assert vocabulary["failed"] == sorted(FAILED)
    assert vocabulary["services"] == list(PUBLISHED_BY)
    assert {name: set(published) for name, published in vocabulary["published_by"].items()} == PUBLISHED_BY
    assert {key: tuple(causes) for key, causes in vocabulary["causes"].items()} == CAUSES


async def test_api_document_does_not_contain_the_web_ui():
    async with gateway({}) as client:
        paths = (await client.get("/openapi.json")).json()["paths"]

    assert not [path for path in paths if path.startswith("/ui")]


async def test_files_do_not_count_against_the_rate_per_client():
    config = MiddlewareConfig(RequestLimits(rate_per_client=0.01))
    app = create_app(Clients(dict.fromkeys(SERVICES, "ipv4:127.0.0.1:1"), 1), Lifecycle(), config=config)

    async with client_of(app) as client:
        files = [await client.get("/ui/main.js") for _ in range(20)]
        others = [await client.get("/openapi.json") for _ in range(4)]

    assert {each.status_code for each in files} == {200}
    assert 429 in {each.status_code for each in others}


def test_every_file_is_used_and_none_is_missing_or_inline():
    html = (FILES / "index.html").read_text()
    linked = re.findall(r'(?:src|href)="/ui/([^"]+)"', html)
    imported = [
        each for file in FILES.glob("*.js") for each in re.findall(r'from "\./([^"]+)"', file.read_text())
    ]

    assert not re.search(r'<style|<script(?![^>]* src=)| style="| on[a-z]+="', html)
    assert {file.name for file in FILES.iterdir()} == {*linked, *imported, "index.html"}


def test_files_link_to_no_other_origin():
    found = {
        file.name: set(re.findall(r"(?:https?:)?//[a-z0-9.-]+\.[a-z]{2,}", file.read_text()))
        for file in FILES.iterdir()
    }

    allowed = "http://www.w3.org"  # The namespace of SVG, which is not loaded.
    assert not {name: urls for name, urls in found.items() if urls - {allowed}}


def test_wheel_contains_the_web_ui(tmp_path):
    build = "from hatchling.build import build_wheel; import sys; print(repr(build_wheel(sys.argv[1])))"
    built = subprocess.run(
        [sys.executable, "-c", build, str(tmp_path)], check=True, capture_output=True, text=True
    )

    wheel = Path(tmp_path, ast.literal_eval(built.stdout.splitlines()[-1]))
    packed = set(zipfile.ZipFile(wheel).namelist())
    for directory in (FILES, SWAGGER_UI):
        assert {f"services/gateway/{directory.name}/{file.name}" for file in directory.iterdir()} <= packed
