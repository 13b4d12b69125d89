"""The gateway's own routes: its name, and the probes."""

from functools import cache
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from pydantic import BeforeValidator, RootModel
from pydantic_core import PydanticCustomError
from starlette.responses import PlainTextResponse, Response

from contract import asyncapi
from services.gateway.clients import NEEDED, SERVICES
from services.gateway.dependencies import Conditional, Services
from services.gateway.documentation import PUBLIC, problems
from services.gateway.errors import Problem
from services.gateway.static_ui import prefers_html

router = APIRouter(tags=["gateway"])

_READY = (
    f"200 while {' and '.join(NEEDED)} serve. While the others are unavailable orders are accepted, and wait "
    "for them. With `all=true` every service has to serve. What is known of a service is reused for a second."
)


def _true_or_false(value: Any) -> Any:
    if value not in ("true", "false", False):
        raise PydanticCustomError("true_or_false", "must be true or false")
    return value


@router.get(
    "/",
    summary="The gateway's name; for a browser, which asks for HTML, the web UI",
    response_class=PlainTextResponse,
    responses={200: {"content": {"text/html": {"schema": {"type": "string"}}}}},
    openapi_extra=PUBLIC,
)
async def name(request: Request) -> Response:
    is_browser = prefers_html(request.headers.get("accept", ""))
    answer = await request.app.state.ui.index(request) if is_browser else PlainTextResponse("api-gateway")
    answer.headers["Vary"] = "Accept"
    return answer


@router.get("/healthz", summary="Whether the process is alive", openapi_extra=PUBLIC)
async def healthz() -> dict[str, str]:
    return {"status": "ok"}


@router.get(
    "/readyz",
    summary="Whether requests can be served",
    description=_READY,
    responses=problems(400, 503),
    openapi_extra=PUBLIC,
)
async def readyz(
    request: Request,
    services: Services,
    all: Annotated[
        bool, BeforeValidator(_true_or_false), Query(description="Whether every service has to serve.")
    ] = False,
) -> dict[str, str]:
    if request.app.state.lifecycle.draining:
        raise Problem(503, "draining", "This gateway is draining.")
    if missing := await services.not_serving(SERVICES if all else NEEDED):
        raise Problem(503, "not-ready", f"Not serving: {', '.join(missing)}.")
    return {"status": "ok"}


@cache
def _event_document() -> RootModel[dict[str, Any]]:
    return RootModel(asyncapi.document())


@router.get("/asyncapi.json", include_in_schema=False)
async def describe_events(conditional: Conditional) -> Response:
    """The AsyncAPI document of the events, as `/openapi.json` is that of the API."""
    return conditional(_event_document())
