"""Parts of the OpenAPI document that FastAPI cannot derive: problems, links and headers of answers."""

from typing import Any

from fastapi import FastAPI
from pydantic.json_schema import models_json_schema

from services.gateway.errors import ProblemResponse, phrase
from services.gateway.models import Problem

_SCHEMAS = "#/components/schemas/"
_PROBLEM = {"schema": {"$ref": f"{_SCHEMAS}Problem"}}
_ETAG = {"ETag": {"description": "Changes with the answer.", "schema": {"type": "string"}}}
LOCATION = {
    "Location": {
        "description": "The URL of what was created.",
        "schema": {"type": "string", "format": "uri-reference"},
    }
}
PUBLIC: dict[str, Any] = {"security": []}
"""`openapi_extra` of a route that needs no authentication."""

Responses = dict[int | str, dict[str, Any]]


def problems(*statuses: int) -> Responses:
    """Document the statuses a route fails with."""
    return {
        status: {"description": phrase(status), "content": {ProblemResponse.media_type: _PROBLEM}}
        for status in statuses
    }


COMMON_PROBLEMS = problems(400, 401, 403, 408, 413, 429, 503, 504)
"""The failures of every route that calls a service."""
CHANGE_PROBLEMS = problems(400, 409, 422)
CHANGE_PROBLEMS[400]["description"] += "; also with If-Match or If-None-Match, which changes do not support"
"""The further failures of a route under /v1 that changes something."""


def conditional(**links: Any) -> Responses:
    """Document a route that answers with an entity tag, and the `links` of its answer."""
    not_modified = {"description": "Not Modified", "headers": _ETAG}
    return {200: {"headers": _ETAG, "links": links}, 304: not_modified}


def links(*operations: str, **parameters: str) -> dict[str, Any]:
    """Document which operations can follow, with runtime expressions for their parameters."""
    return {name: {"operationId": name, "parameters": parameters} for name in operations}


def install(app: FastAPI, *, authenticated: bool) -> None:
    """Complete the document: the schema of problems, and how to authenticate."""
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        document = generate()
        _, schemas = models_json_schema([(Problem, "serialization")], ref_template=_SCHEMAS + "{model}")
        components = document["components"]
        components["schemas"].update(schemas["$defs"])
        _remove_validation_errors(document)
        if authenticated:
            components["securitySchemes"] = {"bearer": {"type": "http", "scheme": "bearer"}}
            document["security"] = [{"bearer": []}]
        return document

    app.openapi = openapi  # type: ignore[method-assign] # FastAPI's documented way of extending it


def _remove_validation_errors(document: dict[str, Any]) -> None:
    """Remove FastAPI's own 422, which is never answered: invalid requests get a problem with status 400."""
    for operation in (each for path in document["paths"].values() for each in path.values()):
        if "HTTPValidationError" in str(operation["responses"].get("422", "")):
            del operation["responses"]["422"]
    for name in ("HTTPValidationError", "ValidationError"):
        document["components"]["schemas"].pop(name, None)
