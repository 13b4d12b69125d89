"""The web UI at /ui: a shop that shows its orders live, from static files, with its configuration."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from contract.vocabulary import vocabulary
from services.gateway.service_control import is_local

UI = "/ui"
FILES = Path(__file__).parent / "ui"
_INDEX = "index.html"
# No other origins, no inline scripts or styles, and no script can turn text into markup.
_CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
)
_HEADERS = {
    "Content-Security-Policy": _CONTENT_SECURITY_POLICY,
    # Revalidated on each use: files are never older than their gateway.
    "Cache-Control": "no-cache",
}


@dataclass(frozen=True, slots=True)
class UIConfig:
    """How the web UI is to behave here."""

    sign_in: bool = False
    """Whether it asks for a token."""
    can_control: bool = False
    """Whether services can be stopped and started from it."""
    trace_url: str = ""
    """Where a trace is shown, with `{trace_id}` in it; empty: nowhere."""

    def to_json(self, is_local: bool) -> Mapping[str, Any]:
        """`is_local`: whether it is opened by a loopback name; services are controlled only from there."""
        traces = {"trace_url": self.trace_url} if self.trace_url else {}
        return {"sign_in": self.sign_in, "can_control": self.can_control and is_local, **traces}


class UIFiles(StaticFiles):
    """The files, with headers that restrict what a browser does with them."""

    def __init__(self) -> None:
        super().__init__(directory=FILES, html=True)

    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        response.headers.update(_HEADERS)
        return response

    async def index(self, request: Request) -> Response:
        return await self.get_response(_INDEX, request.scope)


def static_ui(files: UIFiles, config: UIConfig) -> APIRouter:
    """Routes beside the files, which are mounted; none of them is part of the API or in its document."""
    router = APIRouter(prefix=UI, include_in_schema=False)
    router.add_api_route("", files.index, methods=["GET", "HEAD"], response_class=Response)

    @router.get("/config")
    async def get_config(request: Request) -> Mapping[str, Any]:
        return config.to_json(is_local(request))

    @router.get("/vocabulary.json")
    async def get_vocabulary() -> Mapping[str, Any]:
        return vocabulary()

    return router


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
