"""Authentication of gRPC calls: each carries its caller's bearer token, which every server verifies."""

from typing import TYPE_CHECKING, Any

import grpc

from sagakit.auth import caller as callers
from sagakit.auth.jwt import TokenVerifier, parse_bearer
from sagakit.grpc.interceptors import Behavior, UnaryServerInterceptor, with_metadata

if TYPE_CHECKING:
    from sagakit.grpc.interceptors import MethodHandler


class AuthServerInterceptor(UnaryServerInterceptor):
    """Serves a call on behalf of the caller its token names; rejects calls without a valid token."""

    def __init__(self, verifier: TokenVerifier) -> None:
        self._verifier = verifier

    async def serve(
        self, behavior: Behavior, details: grpc.HandlerCallDetails, request: Any, context: Any
    ) -> Any:
        metadata = details.invocation_metadata or ()
        authorizations = [str(value) for key, value in metadata if key == "authorization"]
        caller = await self._verifier.verify(parse_bearer(authorizations))
        with callers.acting_as(caller):
            return await behavior(request, context)

    def streaming(self, handler: "MethodHandler", method: str) -> "MethodHandler":
        raise NotImplementedError(f"{method}: only unary calls can be authenticated")


class BearerClientInterceptor(grpc.aio.UnaryUnaryClientInterceptor):
    """Adds a token to every call of a channel."""

    def __init__(self, token: str) -> None:
        self._token = token

    async def intercept_unary_unary(
        self, continuation: Any, client_call_details: grpc.aio.ClientCallDetails, request: Any
    ) -> Any:
        details = with_metadata(client_call_details, "authorization", f"Bearer {self._token}")
        return await continuation(details, request)
