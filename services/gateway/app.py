"""The application: routes, probes, middleware and errors put together."""

from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastapi import APIRouter, FastAPI
from grpc.aio import AioRpcError
from opentelemetry.trace import Tracer
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from services.gateway.clients import NEEDED, SERVICES, Clients
from services.gateway.edge import DEFAULT_EDGE, Edge, install
from services.gateway.errors import Problem, answer_problem
from services.gateway.middleware import Farewell
from services.gateway.page import FILES, PAGE, PageConfig, PageFiles, page, wants_page
from services.gateway.places import Places
from services.gateway.routes import api, problem, schemas
from services.gateway.steering import Steering
from services.gateway.stream import DEFAULT_STREAM_LIMITS, StreamLimits, Streams
from services.gateway.tracing import Traced
from services.gateway.v1.documentation import bodies
from services.gateway.v1.routes import resources
from services.gateway.waiting import Waiting
from services.gateway.watches import Watches

_READY = (
    f"Answers 200 while {' and '.join(NEEDED)} serve. An outage of the others keeps no order out: "
    "it is taken, and waits for them. With `all=true` every service has to serve."
)
# Described and read here: FastAPI's own way with parameters refuses with a 422 that is no problem (RFC 9457).
_ALL = {
    "name": "all",
    "in": "query",
    "description": "Whether every service is demanded.",
    "schema": {"type": "boolean", "default": False},
}

_OPEN: dict[str, Any] = {"security": []}
"""Nobody has to sign in for it."""


@dataclass(slots=True)
class Lifecycle:
    """Whether the process has been told to stop; then it is not ready, whatever its services say."""

    draining: bool = False


class Gateway(FastAPI):
    """FastAPI, whose OpenAPI document also knows the schemas that are not in any signature."""

    signs_in = False
    """Whether clients need a token."""

    def openapi(self) -> dict[str, Any]:
        document = super().openapi()
        document["components"]["schemas"].update(schemas(more=bodies()))
        if self.signs_in:
            document["components"]["securitySchemes"] = {"bearer": {"type": "http", "scheme": "bearer"}}
            document["security"] = [{"bearer": []}]
        return document


def create_app(
    clients: Clients,
    lifecycle: Lifecycle,
    edge: Edge = DEFAULT_EDGE,
    watches: Watches | None = None,
    patience: StreamLimits = DEFAULT_STREAM_LIMITS,
    tracer: Tracer | None = None,
    trace_url: str = "",
    control: Path | None = None,
) -> FastAPI:
    """The gateway over `clients`, which it opens at its start and closes at its end.

    Without `watches`, which are kept up from outside, it streams nothing. `control` is the socket of a suite
    on this machine, whose services are stopped and started from the page; without it they are not.
    """
    body_timeout_seconds = edge.limits.request_seconds

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with clients:
            yield

    app = Gateway(
        title="api-gateway",
        version="1",
        summary="Carts, order tickets and the catalogue",
        lifespan=lifespan,
        redirect_slashes=False,
        redoc_url=None,
    )
    app.signs_in = edge.tokens is not None
    app.include_router(api(clients, body_timeout_seconds))
    places = Places(patience.max_streams)
    app.include_router(resources(clients, body_timeout_seconds, Waiting(clients, watches, places)))
    app.include_router(Streams(clients, watches, places, patience).router())
    files = PageFiles(directory=FILES, html=True)
    app.include_router(_own(clients, lifecycle, files))
    if control is not None:
        app.include_router(Steering(control).router())
    config = PageConfig(sign_in=app.signs_in, steers=control is not None, trace_url=trace_url)
    app.include_router(page(files, config))
    app.mount(PAGE, files)
    for error in (Problem, AioRpcError, HTTPException):
        app.add_exception_handler(error, answer_problem)
    install(app, edge)
    app.add_middleware(Farewell, draining=lambda: lifecycle.draining)
    if tracer is not None:
        app.add_middleware(Traced, tracer=tracer)
    return app


def _own(clients: Clients, lifecycle: Lifecycle, files: PageFiles) -> APIRouter:
    router = APIRouter(tags=["gateway"])

    @router.get(
        "/",
        summary="Say who this is; to a browser, which asks for HTML, with the page of /ui",
        response_class=PlainTextResponse,
        responses={200: {"content": {"text/html": {"schema": {"type": "string"}}}}},
        openapi_extra=_OPEN,
    )
    async def name(request: Request) -> Response:
        by_browser = wants_page(request.headers.get("accept", ""))
        answer = await files.shop(request) if by_browser else PlainTextResponse("api-gateway")
        answer.headers["Vary"] = "Accept"
        return answer

    @router.get("/healthz", summary="Whether the process is alive", openapi_extra=_OPEN)
    async def healthz() -> Response:
        return JSONResponse({"status": "ok"})

    @router.get(
        "/readyz",
        summary="Whether requests can be served",
        description=_READY,
        responses={status: problem(status) for status in (400, 503)},
        openapi_extra={**_OPEN, "parameters": [_ALL]},
    )
    async def readyz(request: Request) -> Response:
        demanded = _demanded(request.query_params.get("all", "false"))
        if lifecycle.draining:
            raise Problem(503, "draining", "This gateway is about to stop.")
        if missing := await clients.not_serving(demanded):
            raise Problem(503, "not-ready", f"Not serving: {', '.join(missing)}.")
        return JSONResponse({"status": "ok"})

    return router


def _demanded(every: str) -> Collection[str]:
    """The services that have to serve. Raises Problem where `every` is neither `true` nor `false`."""
    match every:
        case "true":
            return SERVICES
        case "false":
            return NEEDED
        case _:
            message = "must be true or false"
            errors = [{"field": "all", "message": message}]
            raise Problem(400, "invalid-argument", f"all: {message}", errors)
