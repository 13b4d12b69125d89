"""The page: a shop in which orders are watched, from files that come with the package and nothing else."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from services.gateway.steering import is_local

PAGE = "/ui"
FILES = Path(__file__).parent / "ui"
_SHOP = "index.html"
# Nothing is loaded from elsewhere, nothing inline is run, and no script can make markup of a text.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    # Kept, and asked for again each time: a page is never older than its gateway.
    "Cache-Control": "no-cache",
}


@dataclass(frozen=True, slots=True)
class PageConfig:
    """What the page is told of where it runs."""

    sign_in: bool = False
    """Whether it has to ask for a token."""
    steers: bool = False
    """Whether services can be stopped and started from it."""
    trace_url: str = ""
    """Where a trace can be looked at, with `{trace_id}` in it; empty: nowhere."""

    def as_json(self, local: bool) -> Mapping[str, Any]:
        """`local`: whether it is asked by a name of this machine; from elsewhere nothing is steered."""
        where = {"trace_url": self.trace_url} if self.trace_url else {}
        return {"sign_in": self.sign_in, "steers": self.steers and local, **where}


class PageFiles(StaticFiles):
    """The files, with the headers that a browser is to hold them to."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        response.headers.update(_HEADERS)
        return response

    async def shop(self, request: Request) -> Response:
        """The page itself."""
        return await self.get_response(_SHOP, request.scope)


def page(files: PageFiles, config: PageConfig) -> APIRouter:
    """The page and what it is told; no part of the API, and not in its document. The files are mounted."""
    router = APIRouter(include_in_schema=False)
    router.add_api_route(PAGE, files.shop, methods=["GET", "HEAD"], response_class=Response)

    @router.get(f"{PAGE}/config")
    async def told(request: Request) -> Response:
        return JSONResponse(config.as_json(is_local(request)))

    return router


def wants_page(accept: str) -> bool:
    """Whether who sends that Accept header is a browser: HTML is named, and nothing is liked better."""
    liked = dict(_liking(each) for each in accept.split(","))
    html = liked.get("text/html", 0.0)
    return html > 0 and html >= max(liked.values())


def _liking(media_range: str) -> tuple[str, float]:
    media, *parameters = (part.strip().lower() for part in media_range.split(";"))
    weights = [part.removeprefix("q=") for part in parameters if part.startswith("q=")]
    try:
        return media, float(weights[0]) if weights else 1.0
    except ValueError:
        return media, 0.0
