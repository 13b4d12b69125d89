"""What OpenAPI says of the resources."""

from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel

from services.gateway import models
from services.gateway.routes import ALWAYS_POSSIBLE, SCHEMAS, problem
from services.gateway.v1.action import Action
from services.gateway.v1.idempotency import PARAMETER
from services.gateway.v1.models import Nothing
from services.gateway.v1.resources import ACTIONS

_IF_NONE_MATCH = {
    "name": "If-None-Match",
    "in": "header",
    "required": False,
    "description": "The ETag of an earlier answer: answered with 304 where nothing has changed since.",
    "schema": {"type": "string"},
}
_ETAG = {"description": "Changes with the answer.", "schema": {"type": "string"}}
_LOCATION = {"description": "Where it is.", "schema": {"type": "string", "format": "uri-reference"}}


def bodies() -> Iterator[type[BaseModel]]:
    """The models of bodies."""
    return (action.body for action in ACTIONS if _has_body(action))


def documented(action: Action) -> dict[str, Any]:
    """What FastAPI is to be told of the route of an action."""
    extra: dict[str, Any] = {"parameters": list(_parameters(action))}
    if _has_body(action):
        extra["requestBody"] = _request_body(action)
    return {
        "operation_id": action.name,
        "tags": [f"v1 {action.path.split('/')[2]}"],
        "summary": action.summary,
        "response_model": action.answer,
        "status_code": 200 if action.made is None else action.made.status,
        "responses": _responses(action),
        "openapi_extra": extra,
    }


def _parameters(action: Action) -> Iterator[dict[str, Any]]:
    if action.at:
        yield from _of_model(action.at, "path")
    if action.query:
        yield from _of_model(action.query, "query")
    if action.keyed and action.method != "GET":
        yield PARAMETER
    if action.method == "GET":
        yield _IF_NONE_MATCH


def _of_model(model: type[models.Request], place: str) -> Iterator[dict[str, Any]]:
    schema = model.model_json_schema()
    for name, each in schema["properties"].items():
        required = name in schema.get("required", ())
        described = {"description": each.pop("description")} if "description" in each else {}
        yield {"name": name, "in": place, "required": required, **described, "schema": each}


def _request_body(action: Action) -> dict[str, Any]:
    content = {"schema": {"$ref": SCHEMAS + action.body.__name__}, "example": action.body_example}
    return {"required": True, "content": {"application/json": content}}


def _responses(action: Action) -> dict[int | str, dict[str, Any]]:
    refusals = {*ALWAYS_POSSIBLE, 404, *action.refusals, *((422,) if action.keyed else ())}
    responses: dict[int | str, dict[str, Any]] = {status: problem(status) for status in sorted(refusals)}
    if action.made is None or action.made.if_created:
        responses[200] = _success(action, {"ETag": _ETAG} if action.method == "GET" else {})
    if action.made is not None:
        responses[action.made.status] = _success(action, {"Location": _LOCATION})
    if action.method == "GET":
        responses[304] = {"description": "Not Modified", "headers": {"ETag": _ETAG}}
    return responses


def _success(action: Action, headers: dict[str, Any]) -> dict[str, Any]:
    links = {
        name: {"operationId": name, "parameters": dict(parameters)}
        for name, parameters in action.leads_to.items()
    }
    content = {"application/json": {"example": action.example}}
    return {"model": action.answer, "content": content, "headers": headers, "links": links}


def _has_body(action: Action) -> bool:
    return action.body is not Nothing
