"""Rate, errors and duration of a gRPC server's calls."""

import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import grpc

from sagakit.telemetry import metrics
from sagakit.telemetry.instruments import Metrics

HEALTH_METHODS = "/grpc."
"""Health and reflection: their rate is the probes'."""
OTHER_METHOD = "_OTHER"

if TYPE_CHECKING:
    # Generic in the type stubs only.
    MethodHandler = grpc.RpcMethodHandler[Any, Any]


class MetricsInterceptor(grpc.aio.ServerInterceptor):
    """Measures every unary call; the outermost, so that it sees the status."""

    def __init__(self, measures: Metrics, unknown: object) -> None:
        """`unknown` is what answers where there is no such method: callers must not make up labels."""
        self._unknown = unknown
        self._durations = measures.histogram(metrics.CALL_DURATION)

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable["MethodHandler | None"]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> "MethodHandler | None":
        handler = await continuation(handler_call_details)
        method = handler_call_details.method
        if handler is None or handler.unary_unary is None or method.startswith(HEALTH_METHODS):
            return handler
        unknown = handler.unary_unary is self._unknown
        return grpc.unary_unary_rpc_method_handler(
            self._measured(handler.unary_unary, OTHER_METHOD if unknown else method.lstrip("/")),
            handler.request_deserializer,
            handler.response_serializer,
        )

    def _measured(self, behavior: Any, method: str) -> Any:
        async def call(request: Any, context: Any) -> Any:
            began = time.monotonic()
            code = grpc.StatusCode.CANCELLED
            try:
                answer = await behavior(request, context)
            except grpc.aio.AbortError:
                code = context.code()
                raise
            else:
                code = grpc.StatusCode.OK
                return answer
            finally:
                seconds = time.monotonic() - began
                self._durations.record(
                    seconds, {"rpc.method": method, "rpc.response.status_code": _name(code)}
                )

        return call


def _name(code: Any) -> str:
    if isinstance(code, grpc.StatusCode):
        return code.name
    return next((each.name for each in grpc.StatusCode if each.value[0] == code), str(code))
