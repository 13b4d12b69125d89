"""Shared parts of the interceptors: the skeleton that wraps a unary method, metadata, names of codes."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import grpc

from sagakit.grpc.errors import unknown_method

HEALTH_METHODS = "/grpc."
"""Prefix of the health and reflection methods: probes carry no token and are neither traced nor measured."""

_CODE_NAMES = {code.value[0]: code.name for code in grpc.StatusCode}

if TYPE_CHECKING:
    # Generic in the type stubs only.
    MethodHandler = grpc.RpcMethodHandler[Any, Any]

Behavior = Callable[[Any, Any], Awaitable[Any]]
"""A unary method: request and servicer context to response."""
Continuation = Callable[[grpc.HandlerCallDetails], Awaitable["MethodHandler | None"]]


class UnaryServerInterceptor(grpc.aio.ServerInterceptor):
    """Runs `serve` around every unary call, except health and reflection."""

    serves_unknown = False
    """Whether calls of unknown methods, whose names callers make up, are included."""

    async def intercept_service(
        self, continuation: Continuation, handler_call_details: grpc.HandlerCallDetails
    ) -> "MethodHandler | None":
        handler = await continuation(handler_call_details)
        if handler is None or handler_call_details.method.startswith(HEALTH_METHODS):
            return handler
        if handler.unary_unary is None:
            return self.streaming(handler, handler_call_details.method)
        if is_unknown(handler.unary_unary) and not self.serves_unknown:
            return handler
        serve = partial(self.serve, handler.unary_unary, handler_call_details)
        return grpc.unary_unary_rpc_method_handler(
            serve, handler.request_deserializer, handler.response_serializer
        )

    async def serve(
        self, behavior: Behavior, details: grpc.HandlerCallDetails, request: Any, context: Any
    ) -> Any:
        """Return the response of `behavior(request, context)`, with whatever belongs around it."""
        raise NotImplementedError

    def streaming(self, handler: "MethodHandler", method: str) -> "MethodHandler":  # noqa: ARG002
        """Return the handler to use for a streaming method: the same, unless overridden."""
        return handler


def is_unknown(behavior: Behavior) -> bool:
    """Whether it answers calls of unknown methods."""
    return getattr(behavior, "func", None) is unknown_method


def with_metadata(details: grpc.aio.ClientCallDetails, name: str, value: str) -> grpc.aio.ClientCallDetails:
    """Return the details of the same call with one more metadata entry."""
    metadata = grpc.aio.Metadata(*(details.metadata or ()))
    metadata[name] = value
    return grpc.aio.ClientCallDetails(
        details.method, details.timeout, metadata, details.credentials, details.wait_for_ready
    )


def code_name(code: Any) -> str:
    """Return the name of a status code, which gRPC represents as a number or as a member."""
    return code.name if isinstance(code, grpc.StatusCode) else _CODE_NAMES.get(code, str(code))
