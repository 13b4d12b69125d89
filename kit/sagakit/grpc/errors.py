"""Around every call of a service: a deadline, and errors that tell the caller what it may know."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import grpc
import structlog
from google.protobuf.message import DecodeError
from google.rpc import code_pb2
from grpc_status import rpc_status

from sagakit import deadline
from sagakit.errors import InvalidArgument, Rejected, SagaError
from sagakit.grpc.statuses import abort, status_of
from sagakit.telemetry.spans import set_attribute

log = structlog.get_logger()

DEFAULT_DEADLINE_SECONDS = 30.0

if TYPE_CHECKING:
    # Generic in the type stubs only.
    MethodHandler = grpc.RpcMethodHandler[Any, Any]


class ErrorInterceptor(grpc.aio.ServerInterceptor):
    """Gives every unary call a deadline, and every error its code and its details (AIP-193)."""

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable["MethodHandler | None"]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> "MethodHandler | None":
        handler = await continuation(handler_call_details)
        if handler is None:
            return grpc.unary_unary_rpc_method_handler(unknown_method)
        if handler.unary_unary is None:
            return handler
        # Requests are read in there: gRPC itself answers INTERNAL, a defect of ours, to what is no message.
        guarded = _guarded(handler.unary_unary, handler.request_deserializer, handler_call_details.method)
        return grpc.unary_unary_rpc_method_handler(guarded, None, handler.response_serializer)


async def unknown_method(_: bytes, context: Any) -> None:
    """Answers calls of what is not there."""
    await abort(context, code_pb2.UNIMPLEMENTED, "unknown-method", "there is no such method here")


def _guarded(behavior: Any, deserialize: Callable[[bytes], Any] | None, method: str) -> Any:
    async def call(request: bytes, context: Any) -> Any:
        remaining = context.time_remaining()
        seconds = DEFAULT_DEADLINE_SECONDS if remaining is None else min(remaining, DEFAULT_DEADLINE_SECONDS)
        try:
            # What is called in there is told as well: to give up there spares the work.
            with deadline.set_deadline(seconds):
                async with asyncio.timeout(seconds):
                    message = _read(request, deserialize)
                    set_attribute("orderid", getattr(message, "orderid", ""))
                    return await behavior(message, context)
        except grpc.aio.AbortError:
            # The servicer has answered already: the health service does so.
            raise
        except TimeoutError:
            await abort(context, code_pb2.DEADLINE_EXCEEDED, "deadline-exceeded", "the deadline passed")
        except SagaError as error:
            if not isinstance(error, Rejected):
                log.warning("call failed", method=method, error=str(error))
            await context.abort_with_status(rpc_status.to_status(status_of(error)))
        except Exception:
            # A defect of ours: the caller gets no details.
            log.exception("call failed", method=method)
            await abort(context, code_pb2.INTERNAL, "internal", "internal error")

    return call


def _read(request: bytes, deserialize: Callable[[bytes], Any] | None) -> Any:
    try:
        return deserialize(request) if deserialize else request
    except DecodeError as error:
        raise InvalidArgument("", "the request is no such message", "malformed-message") from error
