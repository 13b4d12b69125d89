"""Rate, errors and duration of a gRPC server's calls."""

import time
from typing import Any

import grpc

from sagakit.grpc.interceptors import Behavior, UnaryServerInterceptor, code_name, is_unknown
from sagakit.telemetry import metrics
from sagakit.telemetry.instruments import Metrics

OTHER_METHOD = "_OTHER"
"""Label of unknown methods: callers must not be able to create labels."""


class MetricsInterceptor(UnaryServerInterceptor):
    """Measures every unary call; the outermost interceptor, so that it sees the final status."""

    serves_unknown = True

    def __init__(self, metrics_: Metrics) -> None:
        self._durations = metrics_.histogram(metrics.CALL_DURATION)

    async def serve(
        self, behavior: Behavior, details: grpc.HandlerCallDetails, request: Any, context: Any
    ) -> Any:
        started = time.monotonic()
        code = grpc.StatusCode.CANCELLED
        try:
            response = await behavior(request, context)
        except grpc.aio.AbortError:
            code = context.code()
            raise
        else:
            code = grpc.StatusCode.OK
            return response
        finally:
            labels = {
                "rpc.method": OTHER_METHOD if is_unknown(behavior) else details.method.lstrip("/"),
                "rpc.response.status_code": code_name(code),
            }
            self._durations.record(time.monotonic() - started, labels)
