"""How routes read bodies and write answers (FastAPI's "Custom Request and APIRoute")."""

from collections.abc import Callable, Coroutine
from typing import Any, Self

from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from google.protobuf.message import Message
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator
from pydantic_core import PydanticKnownError, from_json
from starlette.convertors import StringConvertor, register_url_convertor
from starlette.requests import Request
from starlette.responses import Response

from contract.messages import to_json
from services.gateway.errors import Problem

_PRECONDITIONS = frozenset({"if-match", "if-none-match"})
"""Headers with which a client guards against overwriting a change it has not seen (RFC 9110, section 13.1): a
server that cannot evaluate them must not apply the request."""


class JsonBody(BaseModel):
    """A body: JSON types are not converted (`"3"`, `3.0` and `true` are no integers), fields all known."""

    model_config = ConfigDict(strict=True, extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _parse(cls, body: Any) -> Any:
        if not isinstance(body, bytes):
            return body
        try:
            return from_json(body)
        except ValueError as error:
            raise PydanticKnownError("json_invalid", {"error": str(error)}) from None


class NoBody(JsonBody):
    """No body, or an empty object."""


class JsonAnswer(BaseModel):
    """An answer: the fields documented here of a protobuf message, which may have grown since."""

    @classmethod
    def from_message(cls, message: Message) -> Self:
        """Copy the fields; those that the message lacks have their default, and are left out."""
        return cls.model_validate(to_json(message))


class _NameConvertor(StringConvertor):
    """A segment of a path up to a colon, which separates a resource from a custom method (AIP-136)."""

    regex = "[^/:]+"


# Before any route is declared: a path is compiled with the convertors known by then.
register_url_convertor("name", _NameConvertor())


class JsonRoute(APIRoute):
    """Parses every body as JSON.

    FastAPI parses only what is declared as JSON, but `curl -d` declares a form. A page of another origin can
    therefore post here from a visitor's browser without a preflight. Without authentication OriginMiddleware
    rejects that; with it the page gains nothing as long as no cookies grant a right.
    """

    default_body = b""
    """Stands in for an empty body."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def read_and_handle(request: Request) -> Response:
            body = await request.body() or self.default_body
            if self.body_field is None:
                _validate_no_body(body)
            return await handle(_JsonRequest(request, body))

        return read_and_handle


class ResourceRoute(JsonRoute):
    """A route under /v1, where no body is the same as an empty object."""

    default_body = b"{}"

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def reject_preconditions(request: Request) -> Response:
            if request.method != "GET" and not _PRECONDITIONS.isdisjoint(request.headers.keys()):
                raise Problem(
                    400,
                    "preconditions-unsupported",
                    "If-Match and If-None-Match are not supported for changes: nothing was changed.",
                )
            return await handle(request)

        return reject_preconditions


class _JsonRequest(Request):
    """A request whose body is JSON; other bodies are left to `JsonBody`, which fails as validation does."""

    def __init__(self, request: Request, body: bytes) -> None:
        super().__init__(request.scope, request.receive)
        self._body = body

    async def json(self) -> Any:
        try:
            return from_json(self._body)
        except ValueError:
            return self._body


def _validate_no_body(body: bytes) -> None:
    try:
        NoBody.model_validate(body)
    except ValidationError as error:
        errors = [{**each, "loc": ("body", *each["loc"])} for each in error.errors()]
        raise RequestValidationError(errors) from error
