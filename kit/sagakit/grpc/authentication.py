"""Signing in to a gRPC server: every call carries its caller's token, which is checked here once more."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import grpc

from sagakit.auth import caller as callers
from sagakit.auth.jwks import KeySet, discovered, in_file
from sagakit.auth.jwt import AuthSettings, Tokens
from sagakit.errors import Unauthenticated
from sagakit.runtime import Runtime

OPEN_TO_ALL = "/grpc."
"""Health and reflection: probes have no token."""
_SCHEME = "bearer "

if TYPE_CHECKING:
    # Generic in the type stubs only.
    MethodHandler = grpc.RpcMethodHandler[Any, Any]


def tokens(settings: AuthSettings, runtime: Runtime) -> Tokens:
    """What checks tokens by those settings."""
    fetch = discovered(settings.issuer) if settings.keys_file is None else in_file(settings.keys_file)
    return Tokens(settings, KeySet(fetch, runtime))


def parse_bearer(authorization: str) -> str:
    """The token in the value of an Authorization header. Unauthenticated where there is none."""
    if not authorization[: len(_SCHEME)].lower() == _SCHEME:
        raise Unauthenticated("a bearer token is needed")
    return authorization[len(_SCHEME) :].strip()


class AuthServerInterceptor(grpc.aio.ServerInterceptor):
    """Serves calls on behalf of whom their tokens speak for, and no others."""

    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable["MethodHandler | None"]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> "MethodHandler | None":
        handler = await continuation(handler_call_details)
        if handler is None or handler_call_details.method.startswith(OPEN_TO_ALL):
            return handler
        if handler.unary_unary is None:
            raise NotImplementedError(f"{handler_call_details.method}: only unary calls are checked")
        metadata = dict(handler_call_details.invocation_metadata or ())
        return grpc.unary_unary_rpc_method_handler(
            self._signed_in(handler.unary_unary, str(metadata.get("authorization", ""))),
            handler.request_deserializer,
            handler.response_serializer,
        )

    def _signed_in(self, behavior: Any, authorization: str) -> Any:
        async def call(request: Any, context: Any) -> Any:
            caller = await self._tokens.verify(parse_bearer(authorization))
            with callers.serving(caller):
                return await behavior(request, context)

        return call


class BearerClientInterceptor(grpc.aio.UnaryUnaryClientInterceptor):
    """Adds a token to every call of a channel."""

    def __init__(self, token: str) -> None:
        self._token = token

    async def intercept_unary_unary(
        self, continuation: Any, client_call_details: grpc.aio.ClientCallDetails, request: Any
    ) -> Any:
        metadata = grpc.aio.Metadata(*(client_call_details.metadata or ()))
        metadata.add("authorization", f"Bearer {self._token}")
        details = grpc.aio.ClientCallDetails(
            client_call_details.method,
            client_call_details.timeout,
            metadata,
            client_call_details.credentials,
            client_call_details.wait_for_ready,
        )
        return await continuation(details, request)
