"""What a caller over gRPC hears of an error: its code, and its details (AIP-193)."""

from typing import Any

from google.protobuf import any_pb2
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_status import rpc_status

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

ERROR_DOMAIN = "saga.example.com"

_CODES: tuple[tuple[type[SagaError], int], ...] = (
    (InvalidArgument, code_pb2.INVALID_ARGUMENT),
    (NotFound, code_pb2.NOT_FOUND),
    (FailedPrecondition, code_pb2.FAILED_PRECONDITION),
    (Unauthenticated, code_pb2.UNAUTHENTICATED),
    (Forbidden, code_pb2.PERMISSION_DENIED),
    (Contention, code_pb2.ABORTED),
    # The one code that says "may have been done" (https://grpc.io/docs/guides/status-codes/);
    # UNAVAILABLE would be repeated by clients.
    (OutcomeUnknown, code_pb2.DEADLINE_EXCEEDED),
    (Unavailable, code_pb2.UNAVAILABLE),
)


def status_of(error: SagaError) -> status_pb2.Status:
    """The gRPC status of an error of the tree."""
    code = next((code for kind, code in _CODES if isinstance(error, kind)), code_pb2.INTERNAL)
    reason = error.reason if isinstance(error, Rejected) else type(error).__name__.lower()
    details: list[Any] = [error_details_pb2.ErrorInfo(reason=reason, domain=ERROR_DOMAIN)]
    if isinstance(error, InvalidArgument):
        violation = error_details_pb2.BadRequest.FieldViolation(
            field=error.field, description=str(error), reason=error.why
        )
        details.append(error_details_pb2.BadRequest(field_violations=[violation]))
    return status_pb2.Status(code=code, message=str(error), details=[_packed(each) for each in details])


async def abort(context: Any, code: int, reason: str, message: str) -> None:
    """End a call with that. Raises AbortError, as gRPC wants it."""
    info = error_details_pb2.ErrorInfo(reason=reason, domain=ERROR_DOMAIN)
    status = status_pb2.Status(code=code, message=message, details=[_packed(info)])
    await context.abort_with_status(rpc_status.to_status(status))


def _packed(detail: Any) -> any_pb2.Any:
    packed = any_pb2.Any()
    packed.Pack(detail)
    return packed
