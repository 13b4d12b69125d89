"""The web UI at /ui: a shop that shows its orders live, from static files, with its configuration."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fastapi import APIRouter, FastAPI
from starlette.requests import Request
from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from contract.tickets import vocabulary
from services.gateway.origins import is_local

UI = "/ui"
FILES = Path(__file__).parent / "ui"
DOCS = "/docs"
SWAGGER_UI = Path(__file__).parent / "swagger_ui"
"""Swagger UI of npm's package swagger-ui-dist (`make swagger-ui`), and a page of our own that runs it."""
_INDEX = "index.html"
# No other origins, no inline scripts or styles, and no script can turn text into markup.
_CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
)
# Swagger UI has its icons in its styles, and writes markup, which DOMPurify cleans.
_DOCS_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


class UIFiles(StaticFiles):
    """The files, with headers that restrict what a browser does with them."""

    def __init__(self, directory: Path = FILES, policy: str = _CONTENT_SECURITY_POLICY) -> None:
        super().__init__(directory=directory, html=True)
        # Revalidated on each use: files are never older than their gateway.
        self._headers = {"Content-Security-Policy": policy, "Cache-Control": "no-cache"}

    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        response.headers.update(self._headers)
        return response

    async def index(self, request: Request) -> Response:
        return await self.get_response(_INDEX, request.scope)


def static_ui(files: UIFiles, sign_in: bool, can_control: bool, docs: bool, trace_url: str) -> APIRouter:
    """Routes beside the files, which are mounted; none of them is part of the API or in its document.

    `sign_in`: whether the UI asks for a token; `can_control`: whether it can stop and start services; `docs`:
    whether it links to the page of the API's document.
    """
    router = APIRouter(prefix=UI, include_in_schema=False)
    router.add_api_route("", files.index, methods=["GET", "HEAD"], response_class=Response)

    @router.get("/config")
    async def get_config(request: Request) -> Mapping[str, Any]:
        traces = {"trace_url": trace_url} if trace_url else {}
        can = can_control and is_local(request)
        return {"sign_in": sign_in, "can_control": can, "docs": docs, **traces}

    @router.get("/vocabulary.json")
    async def get_vocabulary() -> Mapping[str, Any]:
        return vocabulary()

    return router


def mount_docs(app: FastAPI) -> None:
    """Serve the page of the API's document."""
    files = UIFiles(SWAGGER_UI, _DOCS_POLICY)
    app.add_api_route(DOCS, files.index, methods=["GET", "HEAD"], include_in_schema=False)
    app.mount(DOCS, files)


def prefers_html(accept: str) -> bool:
    """Whether the Accept header is a browser's: it names HTML, and ranks nothing higher."""
    qualities = dict(_quality(each) for each in accept.split(","))
    html = qualities.get("text/html", 0.0)
    return html > 0 and html >= max(qualities.values())


def _quality(media_range: str) -> tuple[str, float]:
    media, *parameters = (part.strip().lower() for part in media_range.split(";"))
    weights = [part.removeprefix("q=") for part in parameters if part.startswith("q=")]
    try:
        return media, float(weights[0]) if weights else 1.0
    except ValueError:
        return media, 0.0
