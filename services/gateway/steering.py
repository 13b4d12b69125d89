"""Stopping and starting services from the page, where a suite that runs on this machine lets it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from contract.control import request
from sagakit.errors import SagaError
from services.gateway.clients import SERVICES
from services.gateway.errors import Problem

STEERING = "/ui/services"
FROM_THE_PAGE = "X-Saga-Page"
"""A header that no form and no other origin's script can send without asking first, which is refused."""
_DO = ("stop", "start")
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


class Steering:
    """The four services, and never the gateway or an emulator."""

    def __init__(self, control: Path) -> None:
        """`control`: the socket of the suite."""
        self._control = control

    def router(self) -> APIRouter:
        router = APIRouter(include_in_schema=False)
        router.add_api_route(STEERING, self._look, methods=["GET"], response_class=Response)
        router.add_api_route(
            f"{STEERING}/{{name}}:{{do}}", self._do, methods=["POST"], response_class=Response
        )
        return router

    async def _look(self, request: Request) -> Response:
        _demand_own_page(request)
        programs = await self._ask("ps", "")
        return JSONResponse({"services": [_service(name, programs) for name in SERVICES]})

    async def _do(self, request: Request) -> Response:
        _demand_own_page(request)
        name, do = request.path_params["name"], request.path_params["do"]
        if name not in SERVICES or do not in _DO:
            raise Problem(404, "no-such-path", "There is nothing at this path.")
        return JSONResponse(_service(name, await self._ask(do, name)))

    async def _ask(self, do: str, name: str) -> Sequence[Mapping[str, Any]]:
        try:
            return await request(self._control, do, name)
        except SagaError as error:
            raise Problem(503, "no-control", f"{error}.") from error


def _service(name: str, programs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """A service by the processes it has; replicas are called `stock-1` and so on."""
    own = [each for each in programs if each["name"] == name or each["name"].rpartition("-")[0] == name]
    running = sum(each["state"] == "running" for each in own)
    return {"name": name, "processes": len(own), "running": running}


def _demand_own_page(request: Request) -> None:
    """Raises Problem unless the page asks, or somebody who is no browser.

    A page of another origin cannot send the header. One whose name was made to point at this machine could,
    but does not call it by its own name.
    """
    host = request.headers.get("host", "")
    origin = request.headers.get("origin", f"{request.url.scheme}://{host}")
    site = request.headers.get("sec-fetch-site", "same-origin")
    trusted = (
        FROM_THE_PAGE in request.headers
        and site == "same-origin"
        and origin == f"{request.url.scheme}://{host}"
        and is_local(request)
    )
    if not trusted:
        raise Problem(
            403, "not-from-here", f"Only this machine's own page may do that, with {FROM_THE_PAGE}."
        )


def is_local(request: Request) -> bool:
    """Whether the gateway was called by a name that is this machine's own wherever it is used."""
    try:
        return urlsplit(f"//{request.headers.get('host', '')}").hostname in _LOOPBACK
    except ValueError:
        return False
