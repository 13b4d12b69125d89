"""Limit of the streams that need no token: health watches and reflection."""

from typing import TYPE_CHECKING, Any

import grpc

from sagakit.grpc.interceptors import HEALTH_METHODS, Continuation

if TYPE_CHECKING:
    from sagakit.grpc.interceptors import MethodHandler

MAX_STREAMS = 200
"""Well below the calls that a server handles at the same time, so that these streams cannot exhaust it."""


class StreamLimitInterceptor(grpc.aio.ServerInterceptor):
    """Rejects further streams of a server over the limit.

    A health watch is rejected with UNIMPLEMENTED, upon which clients use the connection without watching
    (https://github.com/grpc/grpc/blob/master/doc/health-checking.md); with any other status they would not.
    """

    def __init__(self, max_streams: int = MAX_STREAMS) -> None:
        self._free = max_streams

    async def intercept_service(
        self, continuation: Continuation, handler_call_details: grpc.HandlerCallDetails
    ) -> "MethodHandler | None":
        method = handler_call_details.method
        handler = await continuation(handler_call_details)
        if handler is None or not handler.response_streaming or not method.startswith(HEALTH_METHODS):
            return handler
        return self._limited(handler, method)

    def _limited(self, handler: Any, method: str) -> "MethodHandler":
        is_health = method.startswith("/grpc.health.")
        code = grpc.StatusCode.UNIMPLEMENTED if is_health else grpc.StatusCode.RESOURCE_EXHAUSTED
        behavior = handler.stream_stream or handler.unary_stream

        async def limited(request: Any, context: Any) -> None:
            if self._free <= 0:
                await context.abort(code, "too many streams")
            self._free -= 1
            try:
                responses = behavior(request, context)
                if not hasattr(responses, "__aiter__"):
                    await responses
                    return
                async for response in responses:
                    await context.write(response)
            finally:
                self._free += 1

        handles: Any = grpc.unary_stream_rpc_method_handler
        if handler.stream_stream:
            handles = grpc.stream_stream_rpc_method_handler
        made: MethodHandler = handles(limited, handler.request_deserializer, handler.response_serializer)
        return made
