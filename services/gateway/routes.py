"""Builds the routes and what OpenAPI says of them from the table of operations."""

import asyncio
from collections.abc import Iterable
from http import HTTPStatus
from typing import Any

from fastapi import APIRouter
from google.protobuf.message_factory import GetMessageClass
from pydantic import BaseModel, ValidationError
from pydantic.json_schema import models_json_schema
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from services.gateway import models
from services.gateway.answers import as_json
from services.gateway.clients import Clients
from services.gateway.errors import Problem, ProblemResponse, of_validation
from services.gateway.operations import OPERATIONS, Operation
from services.gateway.ownership import entitled

SCHEMAS = "#/components/schemas/"
ALWAYS_POSSIBLE = (400, 401, 408, 413, 429, 503, 504)
"""The statuses that every request can fail with."""


def api(clients: Clients, body_timeout_seconds: float) -> APIRouter:
    """A POST route for every operation. A body that takes longer to arrive than the timeout is a 408."""
    router = APIRouter()
    for operation in OPERATIONS:
        _add(router, operation, clients, body_timeout_seconds)
    return router


def _add(router: APIRouter, operation: Operation, clients: Clients, body_timeout_seconds: float) -> None:
    message = GetMessageClass(operation.rpc.input_type)

    async def endpoint(request: Request) -> Response:
        # Read as JSON whatever the content type, as `curl -d` sends a form's. That lets any web page
        # post here from a visitor's browser, which gains it nothing as long as no cookie or address
        # grants a right: whoever adds one must ask for application/json first.
        body = parsed(operation.body, await received(request, body_timeout_seconds))
        await entitled(clients, operation.rpc, body)
        answer = await clients.call(operation.rpc, message(**body.model_dump()))
        return JSONResponse(as_json(answer, operation.answer))

    router.add_api_route(
        operation.path,
        endpoint,
        methods=["POST"],
        tags=[operation.path.split("/")[1]],
        operation_id=operation.rpc.name,
        summary=operation.summary,
        response_model=operation.answer,
        responses={
            200: {"content": {"application/json": {"example": operation.answer_example}}},
            **{status: problem(status) for status in sorted({*ALWAYS_POSSIBLE, *operation.refusals})},
        },
        openapi_extra={"requestBody": _request_body(operation)},
    )


async def received(request: Request, timeout_seconds: float) -> bytes:
    """The whole body. Raises Problem where it takes longer than that to arrive."""
    try:
        async with asyncio.timeout(timeout_seconds):
            return await request.body()
    except TimeoutError:
        raise Problem(408, "body-too-slow", "The body did not arrive in time.") from None


def parsed(model: type[models.Request], body: bytes) -> models.Request:
    """The body as what it has to be. Raises Problem where it is not."""
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        raise of_validation(error) from error


def problem(status: int) -> dict[str, Any]:
    """How OpenAPI describes a failure with that status."""
    return {
        "description": HTTPStatus(status).phrase,
        "content": {ProblemResponse.media_type: {"schema": {"$ref": f"{SCHEMAS}Problem"}}},
    }


def schemas(more: Iterable[type[BaseModel]]) -> dict[str, Any]:
    """The components that FastAPI cannot know of: of bodies that are parsed here, of problems, and more."""
    documented: list[type[BaseModel]] = [models.Problem, *(operation.body for operation in OPERATIONS), *more]
    _, schema = models_json_schema(
        [(model, "validation") for model in documented], ref_template=SCHEMAS + "{model}"
    )
    definitions: dict[str, Any] = schema["$defs"]
    return definitions


def _request_body(operation: Operation) -> dict[str, Any]:
    content = {"schema": {"$ref": SCHEMAS + operation.body.__name__}, "example": operation.example}
    return {"required": True, "content": {"application/json": content}}
