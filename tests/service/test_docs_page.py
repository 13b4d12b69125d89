"""The page of the API's document: Swagger UI from files of our own."""

import hashlib
import re

import pytest

from services.gateway.app import Lifecycle, create_app
from services.gateway.clients import SERVICES, Clients
from services.gateway.settings import Settings
from services.gateway.static_ui import SWAGGER_UI
from tests.service.gateway_harness import assert_loads_own_files_only, assert_problem, client_of, gateway
from tests.service.test_gateway_settings import ADDRESSES

VENDORED = {
    "swagger-ui-bundle.js": "e6a898692f2d768e807c3ba4626068a69a2c5dd960dd6c76f3e4d3a3de180af2",
    "swagger-ui.css": "5ed08757e53da3e026d6cbecc61fe5d43585c9560b302d534ad56692519a273d",
}
"""SHA-256 of the files in npm's package, whose digest `make swagger-ui` compares."""
PATHS = ("/docs", "/docs/", "/docs/page.js", *(f"/docs/{name}" for name in VENDORED))


@pytest.mark.parametrize("path", PATHS)
async def test_page_and_its_files_may_load_nothing_from_other_origins(path):
    async with gateway({}) as client:
        response = await client.get(path)

    assert_loads_own_files_only(response)


async def test_page_loads_its_own_files_and_has_no_inline_script():
    async with gateway({}) as client:
        html = (await client.get("/docs")).text

        loaded = re.findall(r'(?:src|href)="([^"]+)"', html)
        assert len(loaded) == 4
        assert {(await client.get(path)).status_code for path in loaded} == {200}
    assert not re.search(r'<style|<script(?![^>]* src=)| style="| on[a-z]+="', html)


def test_copy_of_swagger_ui_is_that_of_npm():
    digests = {name: hashlib.sha256((SWAGGER_UI / name).read_bytes()).hexdigest() for name in VENDORED}

    assert digests == VENDORED
    assert (SWAGGER_UI / "LICENSE").exists()


async def test_page_can_be_turned_off():
    app = create_app(Clients(dict.fromkeys(SERVICES, "ipv4:127.0.0.1:1"), 1), Lifecycle(), docs=False)
    async with client_of(app) as client:
        for path in PATHS:
            assert_problem(await client.get(path), 404, "not-found")
        assert (await client.get("/openapi.json")).status_code == 200


@pytest.mark.parametrize(
    ("environ", "served"),
    [
        ({}, True),
        ({"DOCS": "off"}, False),
        ({"ENVIRONMENT": "production"}, False),
        ({"ENVIRONMENT": "production", "DOCS": "on"}, True),
    ],
)
def test_page_is_off_in_production_by_default(environ, served):
    auth = {"AUTH_ISSUER": "https://issuer.example", "AUTH_AUDIENCE": "saga"}

    assert Settings.from_environ({**ADDRESSES, **auth, **environ}).serves_docs is served
