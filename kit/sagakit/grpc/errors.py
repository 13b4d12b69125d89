"""Deadlines and errors of gRPC calls: each error becomes a status with details (AIP-193)."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import grpc
import structlog
from google.protobuf import any_pb2
from google.protobuf.message import DecodeError
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_status import rpc_status
from opentelemetry import trace

from sagakit import deadline
from sagakit.application import MessageAttributes
from sagakit.errors import (
    Contention,
    FailedPrecondition,
    Forbidden,
    InvalidArgument,
    NotFound,
    OutcomeUnknown,
    Rejected,
    SagaError,
    Unauthenticated,
    Unavailable,
)

log = structlog.get_logger()

DEFAULT_DEADLINE_SECONDS = 30.0

_CODES: tuple[tuple[type[SagaError], int], ...] = (
    (InvalidArgument, code_pb2.INVALID_ARGUMENT),
    (NotFound, code_pb2.NOT_FOUND),
    (FailedPrecondition, code_pb2.FAILED_PRECONDITION),
    (Unauthenticated, code_pb2.UNAUTHENTICATED),
    (Forbidden, code_pb2.PERMISSION_DENIED),
    (Contention, code_pb2.ABORTED),
    # The one code that means "may have been done" (https://grpc.io/docs/guides/status-codes/);
    # clients would retry UNAVAILABLE.
    (OutcomeUnknown, code_pb2.DEADLINE_EXCEEDED),
    (Unavailable, code_pb2.UNAVAILABLE),
)


class ErrorServerInterceptor(grpc.aio.ServerInterceptor):
    """Gives every unary call a deadline, and every error its code and its details."""

    def __init__(self, domain: str, attributes: MessageAttributes) -> None:
        """`domain`: the ErrorInfo domain of every error; `attributes`: of a request, for the current span."""
        self._domain = domain
        self._attributes = attributes

    async def intercept_service(
        self, continuation: Any, handler_call_details: grpc.HandlerCallDetails
    ) -> Any:
        handler = await continuation(handler_call_details)
        if handler is None:
            return grpc.unary_unary_rpc_method_handler(partial(unknown_method, self._domain))
        if handler.unary_unary is None:
            return handler
        # Deserialize inside the interceptor: gRPC itself answers a malformed request with INTERNAL
        # instead of INVALID_ARGUMENT.
        serve = partial(
            self._serve, handler.unary_unary, handler.request_deserializer, handler_call_details.method
        )
        return grpc.unary_unary_rpc_method_handler(serve, None, handler.response_serializer)

    async def _serve(
        self,
        behavior: Callable[[Any, Any], Awaitable[Any]],
        deserialize: Callable[[bytes], Any] | None,
        method: str,
        request: bytes,
        context: Any,
    ) -> Any:
        remaining = context.time_remaining()
        seconds = DEFAULT_DEADLINE_SECONDS if remaining is None else min(remaining, DEFAULT_DEADLINE_SECONDS)
        try:
            # Calls made meanwhile get the same deadline, so that they give up too.
            with deadline.set_deadline(seconds):
                async with asyncio.timeout(seconds):
                    message = _read(request, deserialize)
                    trace.get_current_span().set_attributes(self._attributes(message))
                    return await behavior(message, context)
        except grpc.aio.AbortError:
            # The servicer has sent a status already, as the health service does.
            raise
        except TimeoutError:
            code, reason, text = code_pb2.DEADLINE_EXCEEDED, "deadline-exceeded", "the deadline passed"
            await _abort(context, status(code, reason, text, self._domain))
        except SagaError as error:
            if not isinstance(error, Rejected):
                log.warning("call failed", method=method, error=str(error))
            await _abort(context, status_of(error, self._domain))
        except Exception:
            # A bug: the caller gets no details.
            log.exception("call failed", method=method)
            await _abort(context, status(code_pb2.INTERNAL, "internal", "internal error", self._domain))


async def unknown_method(domain: str, _: bytes, context: Any) -> None:
    """Handler for unknown methods: UNIMPLEMENTED."""
    await _abort(context, status(code_pb2.UNIMPLEMENTED, "unknown-method", "unknown method", domain))


def status_of(error: SagaError, domain: str) -> status_pb2.Status:
    """Return the gRPC status of an error of the tree."""
    code = next((code for kind, code in _CODES if isinstance(error, kind)), code_pb2.INTERNAL)
    reason = error.reason if isinstance(error, Rejected) else _kebab(type(error).__name__)
    found = status(code, reason, str(error), domain)
    if isinstance(error, InvalidArgument):
        violation = error_details_pb2.BadRequest.FieldViolation(
            field=error.field, description=str(error), reason=error.why
        )
        found.details.append(_packed(error_details_pb2.BadRequest(field_violations=[violation])))
    return found


def status(code: int, reason: str, message: str, domain: str) -> status_pb2.Status:
    """Return a status with an ErrorInfo."""
    info = error_details_pb2.ErrorInfo(reason=reason, domain=domain)
    return status_pb2.Status(code=code, message=message, details=[_packed(info)])


async def _abort(context: Any, status: status_pb2.Status) -> None:
    """End the call with the status. Raises AbortError, which gRPC expects."""
    await context.abort_with_status(rpc_status.to_status(status))


def _read(request: bytes, deserialize: Callable[[bytes], Any] | None) -> Any:
    try:
        return deserialize(request) if deserialize else request
    except DecodeError as error:
        raise InvalidArgument("", "the request is not a valid message", "malformed-message") from error


def _kebab(name: str) -> str:
    """Return the name of a class in kebab-case: OutcomeUnknown becomes outcome-unknown."""
    return re.sub(r"\B(?=[A-Z])", "-", name).lower()


def _packed(detail: Any) -> any_pb2.Any:
    packed = any_pb2.Any()
    packed.Pack(detail)
    return packed
