"""Failures as problems (RFC 9457): one exception handler for each kind of exception."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from http import HTTPStatus
from typing import Any

import grpc
import structlog
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.routing import iter_route_contexts
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2
from grpc.aio import AioRpcError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

log = structlog.get_logger()

_HTTP_STATUSES = {
    grpc.StatusCode.INVALID_ARGUMENT: 400,
    grpc.StatusCode.FAILED_PRECONDITION: 400,
    grpc.StatusCode.OUT_OF_RANGE: 400,
    grpc.StatusCode.UNAUTHENTICATED: 401,
    grpc.StatusCode.PERMISSION_DENIED: 403,
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.ALREADY_EXISTS: 409,
    grpc.StatusCode.ABORTED: 409,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 503,  # a service with too many calls, of whatever clients
    grpc.StatusCode.UNIMPLEMENTED: 501,
    grpc.StatusCode.UNAVAILABLE: 503,
    grpc.StatusCode.CANCELLED: 503,  # by a service that stops: the gateway cancels no calls
    grpc.StatusCode.DEADLINE_EXCEEDED: 504,
}
# A service's own message about its failure names hosts and ports: that is for logs.
_FAILURES = {
    500: "An unexpected error occurred.",
    501: "The service does not implement this.",
    503: "A required service is unavailable; try again.",
    504: "A required service did not answer in time. The request may have taken effect.",
}
_COMMANDID_REUSED = "commandid-reused"
_HEADERS = {
    # Also if a service rejects the token that the gateway accepted, because it has expired meanwhile.
    401: {"WWW-Authenticate": 'Bearer error="invalid_token"'},
    429: {"Retry-After": "1"},
    503: {"Retry-After": "1"},
}
"""Headers of a problem by its status, unless it has its own."""
_PHRASES = {
    413: "Request Entity Too Large",
    414: "Request-URI Too Long",
    416: "Requested Range Not Satisfiable",
    422: "Unprocessable Entity",
}
"""Phrases that Python 3.13 changed: titles of problems must not depend on its version."""
_MAX_ERRORS = 10
_MAX_FIELD_NAME = 128
_EMPTY_BODY = "Invalid JSON: EOF while parsing a value at line 1 column 0"
_NOT_AN_OBJECT = "Input should be an object"


def phrase(status: int) -> str:
    """Return the phrase of an HTTP status."""
    return _PHRASES.get(status) or HTTPStatus(status).phrase


class ProblemResponse(JSONResponse):
    media_type = "application/problem+json"


class Problem(HTTPException):
    """A failure as the client receives it. `reason` is a stable, machine-readable word in kebab-case."""

    def __init__(
        self,
        status: int,
        reason: str,
        detail: str,
        errors: Sequence[Mapping[str, str]] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(status, detail, dict(headers or {}))
        self.reason = reason
        self.errors = errors

    @classmethod
    def not_found(cls) -> "Problem":
        return cls(404, "not-found", "This path does not exist.")

    @classmethod
    def invalid_field(cls, field: str, message: str) -> "Problem":
        return cls(400, "invalid-argument", f"{field}: {message}", [{"field": field, "message": message}])

    @classmethod
    def unexpected(cls) -> "Problem":
        return cls(500, "internal", _FAILURES[500])

    def response(self) -> Response:
        content: dict[str, Any] = {
            "type": "about:blank",
            "title": phrase(self.status_code),
            "status": self.status_code,
            "detail": self.detail,
            "reason": self.reason,
        }
        if self.errors:
            content["errors"] = list(self.errors)
        headers = dict(self.headers or {})
        for name, value in _HEADERS.get(self.status_code, {}).items():
            headers.setdefault(name, value)
        return ProblemResponse(content, self.status_code, headers)


def install(app: FastAPI) -> None:
    """Have `app` answer failures with problems (unexpected ones: UnhandledErrorMiddleware)."""
    app.exception_handler(Problem)(on_problem)
    app.exception_handler(HTTPException)(on_http_exception)
    app.exception_handler(RequestValidationError)(on_validation_error)
    app.exception_handler(AioRpcError)(on_rpc_error)


async def on_problem(_: Request, error: Problem) -> Response:
    return error.response()


async def on_http_exception(request: Request, error: HTTPException) -> Response:
    """Map the framework's own exceptions (no such path, or another method) and those that a route raises."""
    if error.status_code == HTTPStatus.NOT_FOUND and error.detail == HTTPStatus.NOT_FOUND.phrase:
        return Problem.not_found().response()
    headers = dict(error.headers or {})
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED and (methods := _allowed_methods(request)):
        headers["Allow"] = ", ".join(methods)
    reason = _kebab(phrase(error.status_code))
    return Problem(error.status_code, reason, error.detail, headers=headers).response()


async def on_validation_error(_: Request, error: RequestValidationError) -> Response:
    """Name the invalid fields, of the first part of the request (path, query, body) that has any."""
    part = error.errors()[0]["loc"][0]
    errors = [each for each in error.errors() if each["loc"][0] == part][:_MAX_ERRORS]
    first = errors[0]
    if first["loc"] == ("body",):
        message = {
            "missing": _EMPTY_BODY,
            "model_attributes_type": _NOT_AN_OBJECT,
            "model_type": _NOT_AN_OBJECT,
        }
        text = message.get(first["type"], first["msg"])
        return Problem(400, "malformed-json", f"The body must be a JSON object. {text}.").response()
    fields = [
        {"field": ".".join(map(str, each["loc"][1:]))[:_MAX_FIELD_NAME], "message": each["msg"]}
        for each in errors
    ]
    detail = "; ".join(f"{each['field']}: {each['message']}" for each in fields)
    return Problem(400, "invalid-argument", detail, fields).response()


async def on_rpc_error(request: Request, error: AioRpcError) -> Response:
    """Map a failed call. On /v1 a state that forbids the request is a conflict (409), and an Idempotency-Key
    that belongs to another request cannot be processed (422); the older routes answer 400 to both.
    """
    info, bad = _details(error)
    status = _HTTP_STATUSES.get(error.code(), 500)
    if request.url.path.startswith("/v1/"):
        if any(each.reason == _COMMANDID_REUSED for each in bad.field_violations):
            message = "This key was used for a different request."
            errors = [{"field": "Idempotency-Key", "message": message}]
            return Problem(422, "idempotency-key-reused", message, errors).response()
        if error.code() is grpc.StatusCode.FAILED_PRECONDITION:
            status = 409
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        log.warning("request failed", path=request.url.path, status=status, error=error.details())
    return Problem(
        status,
        info.reason or _kebab(error.code().name),
        _FAILURES.get(status) or error.details() or phrase(status),
        [{"field": each.field, "message": each.description} for each in bad.field_violations],
    ).response()


def _allowed_methods(request: Request) -> list[str]:
    """Return the methods of all routes at the request's path: Starlette names those of one route only."""
    path = getattr(request.scope.get("route"), "path", None)
    routes = iter_route_contexts(request.app.routes)
    methods = {method for route in routes if route.path == path for method in route.methods or ()}
    return sorted(methods | {"HEAD"} if "GET" in methods else methods)


def _details(error: AioRpcError) -> tuple[error_details_pb2.ErrorInfo, error_details_pb2.BadRequest]:
    """Return the details that services add to errors by AIP-193; empty messages if missing."""
    info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    # grpc_status.rpc_status.from_call is for the synchronous API, and raises if code and details differ.
    for key, value in error.trailing_metadata() or ():
        if key == "grpc-status-details-bin" and isinstance(value, bytes):
            with suppress(DecodeError):
                for detail in status_pb2.Status.FromString(value).details:
                    _ = detail.Unpack(info) or detail.Unpack(bad)
    return info, bad


def _kebab(text: str) -> str:
    return text.lower().replace("_", "-").replace(" ", "-")
