"""Stops and starts services from the web UI, if the suite runs on this machine (`sagactl up`)."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Depends
from starlette.requests import Request

from contract.topology import TOPOLOGY
from sagakit.ctl.local.control_client import request as control
from sagakit.ctl.project import is_process_of
from sagakit.errors import SagaError
from services.gateway import auth
from services.gateway.auth import SERVICE_CONTROL
from services.gateway.errors import Problem
from services.gateway.origins import is_local, is_same_origin

UI_HEADER = "X-Saga-Page"
"""A header that forms cannot send, and scripts of another origin only after a CORS preflight, which fails."""


def service_control(socket: Path) -> APIRouter:
    """Routes over the suite's control socket, for the declared services only."""
    checks = [Depends(require_same_origin), Depends(require_operator)]
    router = APIRouter(prefix=SERVICE_CONTROL, include_in_schema=False, dependencies=checks)

    @router.get("")
    async def list_services() -> dict[str, Any]:
        processes = await _control(socket, "ps", "")
        return {"services": [_service(name, processes) for name in TOPOLOGY.names]}

    @router.post("/{name}:{action}")
    async def control_service(name: str, action: str) -> dict[str, Any]:
        if name not in TOPOLOGY.names or action not in {"stop", "start"}:
            raise Problem.not_found()
        return _service(name, await _control(socket, action, name))

    return router


async def _control(socket: Path, action: str, name: str) -> Sequence[Mapping[str, Any]]:
    try:
        return await control(socket, action, name)
    except SagaError as error:
        raise Problem(503, "control-unavailable", f"{error}.") from error


def _service(name: str, processes: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Summarize the processes of a service."""
    own = [each for each in processes if is_process_of(name, each["name"])]
    running = sum(each["state"] == "running" for each in own)
    return {"name": name, "processes": len(own), "running": running}


async def require_operator() -> None:
    """Raise Problem (403) unless the caller is an operator; without authentication every caller is."""
    if not auth.current().operator:
        raise Problem(403, "not-an-operator", "Only operators may stop and start services.")


async def require_same_origin(request: Request) -> None:
    """Reject cross-origin browser requests (CSRF and DNS-rebinding protection). Non-browser clients pass.

    A page of another origin cannot send the header; one whose host name was rebound to this machine can, but
    its Host header is not a loopback name. Raises Problem (403).
    """
    if not (UI_HEADER in request.headers and is_same_origin(request.headers) and is_local(request)):
        raise Problem(
            403,
            "cross-origin-forbidden",
            f"This endpoint accepts only same-origin requests from localhost with the header {UI_HEADER}.",
        )
