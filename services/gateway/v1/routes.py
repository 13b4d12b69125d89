"""Builds the routes of the resources from the table of actions."""

from collections.abc import Mapping
from http import HTTPMethod, HTTPStatus
from typing import Any

from fastapi import APIRouter
from google.protobuf.message_factory import GetMessageClass
from grpc.aio import AioRpcError
from pydantic import ValidationError
from starlette.convertors import Convertor, register_url_convertor
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from services.gateway import models
from services.gateway.answers import as_json
from services.gateway.clients import Clients
from services.gateway.errors import of_resource, of_validation
from services.gateway.routes import parsed, received
from services.gateway.v1.action import Action
from services.gateway.v1.conditional import unless_known
from services.gateway.v1.documentation import documented
from services.gateway.v1.idempotency import commandid_of
from services.gateway.v1.resources import ACTIONS
from services.gateway.waiting import Waiting


class NameConvertor(Convertor[str]):
    """A segment of a path up to a colon, which parts a resource from what is done with it (AIP-136)."""

    regex = "[^/:]+"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


def resources(clients: Clients, body_timeout_seconds: float, waiting: Waiting) -> APIRouter:
    """A route for every action. A body that takes longer to arrive than the timeout is a 408."""
    register_url_convertor("name", NameConvertor())
    router = APIRouter()
    for action in ACTIONS:
        _add(router, action, clients, body_timeout_seconds, waiting)
    for path in dict.fromkeys(action.path for action in ACTIONS):
        _refuse_others(router, path)
    return router


def _add(
    router: APIRouter, action: Action, clients: Clients, body_timeout_seconds: float, waiting: Waiting
) -> None:
    message = GetMessageClass(action.rpc.input_type)

    async def endpoint(request: Request) -> Response:
        body = await received(request, body_timeout_seconds)
        arguments = _arguments(action, request, body)
        wait = arguments.pop("wait", 0)
        try:
            if wait:
                await waiting.until_ended(request, arguments["orderid"], wait)
            answer = await clients.call(action.rpc, message(**arguments))
        except AioRpcError as error:
            raise of_resource(error) from error
        return _response(action, request, answer)

    router.add_api_route(_routed(action.path), endpoint, methods=[action.method], **documented(action))


def _refuse_others(router: APIRouter, path: str) -> None:
    """Answer other methods with 405 and all that are allowed: Starlette names those of one route only."""
    allowed = sorted({action.method for action in ACTIONS if action.path == path})

    async def refuse(_: Request) -> Response:
        raise HTTPException(HTTPStatus.METHOD_NOT_ALLOWED, headers={"Allow": ", ".join(allowed)})

    router.add_route(_routed(path), refuse, [*HTTPMethod], include_in_schema=False)


def _routed(path: str) -> str:
    return path.replace("}", ":name}")


def _arguments(action: Action, request: Request, body: bytes) -> dict[str, Any]:
    arguments = _from_strings(action.at, request.path_params) if action.at else {}
    if action.query:
        known = action.query.model_fields.keys() & request.query_params.keys()
        arguments |= _from_strings(action.query, {name: request.query_params[name] for name in known})
    arguments |= parsed(action.body, body or b"{}").model_dump()
    if action.keyed:
        arguments["commandid"] = commandid_of(request)
    return arguments


def _from_strings(model: type[models.Request], found: Mapping[str, str]) -> dict[str, Any]:
    try:
        return model.model_validate_strings(found).model_dump()
    except ValidationError as error:
        raise of_validation(error) from error


def _response(action: Action, request: Request, answer: Any) -> Response:
    content = as_json(getattr(answer, action.part) if action.part else answer, action.answer)
    made = action.made
    if action.method == "GET":
        return unless_known(request, JSONResponse(content))
    if made is None or (made.if_created and not answer.created):
        return JSONResponse(content)
    return JSONResponse(content, made.status, {"Location": made.location.format(**content)})
