"""The application: routes, probes, middleware and errors put together."""

from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, FastAPI
from grpc.aio import AioRpcError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, PlainTextResponse, Response

from services.gateway.clients import NEEDED, SERVICES, Clients
from services.gateway.errors import Problem, answer_problem
from services.gateway.middleware import Admission, BodyLimit, LastResort
from services.gateway.routes import api, problem, schemas

MAX_BODY_BYTES = 64 * 1024


@dataclass(slots=True)
class Lifecycle:
    """Whether the process has been told to stop; then it is not ready, whatever its services say."""

    draining: bool = False


class Gateway(FastAPI):
    """FastAPI, whose OpenAPI document also knows the schemas that are not in any signature."""

    def openapi(self) -> dict[str, Any]:
        document = super().openapi()
        document["components"]["schemas"].update(schemas())
        return document


def create_app(
    clients: Clients, lifecycle: Lifecycle, *, body_timeout_seconds: float, max_concurrent_requests: int
) -> FastAPI:
    """The gateway over `clients`, which it opens at its start and closes at its end."""

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
    app.include_router(api(clients, body_timeout_seconds))
    app.include_router(_own(clients, lifecycle))
    for error in (Problem, AioRpcError, HTTPException):
        app.add_exception_handler(error, answer_problem)
    # What is added last is outermost.
    app.add_middleware(BodyLimit, max_bytes=MAX_BODY_BYTES)
    app.add_middleware(Admission, limit=max_concurrent_requests)
    app.add_middleware(LastResort)
    return app


def _own(clients: Clients, lifecycle: Lifecycle) -> APIRouter:
    router = APIRouter(tags=["gateway"])

    @router.get("/", summary="Say who this is", response_class=PlainTextResponse)
    async def name() -> Response:
        return PlainTextResponse("api-gateway")

    @router.get("/healthz", summary="Whether the process is alive")
    async def healthz() -> Response:
        return JSONResponse({"status": "ok"})

    @router.get("/readyz", summary="Whether requests can be served", responses={503: problem(503)})
    async def readyz() -> Response:
        return await _ready(clients, lifecycle, NEEDED)

    @router.get(
        "/readyz/all",
        summary="Whether every service can be reached, also those that orders wait for",
        responses={503: problem(503)},
    )
    async def all_ready() -> Response:
        return await _ready(clients, lifecycle, SERVICES)

    return router


async def _ready(clients: Clients, lifecycle: Lifecycle, services: Collection[str]) -> Response:
    if lifecycle.draining:
        raise Problem(503, "draining", "This gateway is about to stop.")
    if missing := await clients.not_serving(services):
        raise Problem(503, "not-ready", f"Not serving: {', '.join(missing)}.")
    return JSONResponse({"status": "ok"})
