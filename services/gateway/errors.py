"""Problems (RFC 9457): the one place that chooses what a client hears when a request fails."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from http import HTTPStatus
from typing import Any

import grpc
import structlog
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2
from grpc.aio import AioRpcError
from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

log = structlog.get_logger()

_STATUSES = {
    grpc.StatusCode.INVALID_ARGUMENT: 400,
    grpc.StatusCode.FAILED_PRECONDITION: 400,
    grpc.StatusCode.OUT_OF_RANGE: 400,
    grpc.StatusCode.UNAUTHENTICATED: 401,
    grpc.StatusCode.PERMISSION_DENIED: 403,
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.ALREADY_EXISTS: 409,
    grpc.StatusCode.ABORTED: 409,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 429,
    grpc.StatusCode.UNIMPLEMENTED: 501,
    grpc.StatusCode.UNAVAILABLE: 503,
    grpc.StatusCode.CANCELLED: 503,  # by the service, which is stopping: nobody here cancels calls
    grpc.StatusCode.DEADLINE_EXCEEDED: 504,
}
# What a service says of its own failures names hosts and ports, and is for its logs.
_FAILURES = {
    500: "Something went wrong here; nothing is known to be wrong with the request.",
    501: "The service behind this does not know how to do it.",
    503: "A service this needs is away; try again.",
    504: "A service this needs took too long. What was asked for may have been done.",
}
_COMMANDID_REUSED = "commandid-reused"
_RETRY_AFTER = {429: "1", 503: "1"}
_MAX_FIELDS_NAMED = 10
_MAX_FIELD_NAME = 128


class ProblemResponse(JSONResponse):
    media_type = "application/problem+json"


class Problem(Exception):
    """A request that failed, as the client is to hear of it. `reason` is a stable word in kebab-case."""

    def __init__(
        self,
        status: int,
        reason: str,
        detail: str,
        errors: Sequence[Mapping[str, str]] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.reason = reason
        self.detail = detail
        self.errors = errors
        self.headers = headers or {}

    def response(self) -> Response:
        content: dict[str, Any] = {
            "type": "about:blank",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.detail,
            "reason": self.reason,
        }
        if self.errors:
            content["errors"] = list(self.errors)
        headers = dict(self.headers)
        if self.status in _RETRY_AFTER:
            headers.setdefault("Retry-After", _RETRY_AFTER[self.status])
        return ProblemResponse(content, self.status, headers)


async def answer_problem(request: Request, error: Exception) -> Response:
    """Starlette's exception handler for every error that `problem_of` knows."""
    problem = problem_of(error)
    if isinstance(error, AioRpcError) and problem.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        log.warning("request failed", path=request.url.path, status=problem.status, error=error.details())
    return problem.response()


def problem_of(error: Exception) -> Problem:
    """What a client hears of `error`; a 500 without details of whatever nobody foresaw."""
    match error:
        case Problem():
            return error
        case AioRpcError():
            return _of_rpc(error)
        case HTTPException(status_code=404):
            return Problem(404, "no-such-path", "There is nothing at this path.")
        case HTTPException():
            return Problem(error.status_code, _kebab(error.detail), error.detail, headers=error.headers)
        case _:
            return Problem(500, "internal", _FAILURES[500])


def of_resource(error: AioRpcError) -> Exception:
    """What to raise of a request to a resource: there a state that forbids it is a conflict (409), and an
    Idempotency-Key that belongs to another request cannot be processed (422).
    """
    _, bad = _details(error)
    if any(each.reason == _COMMANDID_REUSED for each in bad.field_violations):
        message = "This key was used for another request."
        errors = [{"field": "Idempotency-Key", "message": message}]
        return Problem(422, "idempotency-key-reused", message, errors)
    if error.code() is grpc.StatusCode.FAILED_PRECONDITION:
        problem = _of_rpc(error)
        return Problem(409, problem.reason, problem.detail)
    return error


def of_validation(error: ValidationError) -> Problem:
    """A body that is not the JSON it has to be; where it is an object, naming the fields at fault."""
    found = error.errors(include_url=False, include_context=False, include_input=False)
    if not found[0]["loc"]:
        return Problem(400, "malformed-json", f"The body must be a JSON object. {found[0]['msg']}.")
    errors = [
        {"field": ".".join(map(str, each["loc"]))[:_MAX_FIELD_NAME], "message": each["msg"]}
        for each in found[:_MAX_FIELDS_NAMED]
    ]
    detail = "; ".join(f"{each['field']}: {each['message']}" for each in errors)
    return Problem(400, "invalid-argument", detail, errors)


def _of_rpc(error: AioRpcError) -> Problem:
    status = _STATUSES.get(error.code(), 500)
    info, bad = _details(error)
    return Problem(
        status,
        info.reason or _kebab(error.code().name),
        _FAILURES.get(status) or error.details() or HTTPStatus(status).phrase,
        [{"field": each.field, "message": each.description} for each in bad.field_violations],
    )


def _details(error: AioRpcError) -> tuple[error_details_pb2.ErrorInfo, error_details_pb2.BadRequest]:
    """What AIP-193 has a service say about an error; empty where it does not."""
    info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    # grpc_status.rpc_status.from_call is for the synchronous API, and raises where code and details differ.
    for key, value in error.trailing_metadata() or ():
        if key == "grpc-status-details-bin" and isinstance(value, bytes):
            with suppress(DecodeError):
                for detail in status_pb2.Status.FromString(value).details:
                    _ = detail.Unpack(info) or detail.Unpack(bad)
    return info, bad


def _kebab(words: str) -> str:
    return words.lower().replace("_", "-").replace(" ", "-")
