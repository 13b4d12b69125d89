"""How a gRPC call is rejected."""

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2

Rejection = tuple[grpc.StatusCode, str, list[str]]
INVALID, NOT_FOUND = grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND
FAILED_PRECONDITION = grpc.StatusCode.FAILED_PRECONDITION


async def rejection(call) -> Rejection:
    """Return the code, the reason and the invalid fields with which `call` is rejected."""
    with pytest.raises(grpc.aio.AioRpcError) as rejected:
        await call
    info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    metadata = dict(rejected.value.trailing_metadata())
    for detail in status_pb2.Status.FromString(metadata["grpc-status-details-bin"]).details:
        _ = detail.Unpack(info) or detail.Unpack(bad)
    return rejected.value.code(), info.reason, [violation.field for violation in bad.field_violations]


async def all_rejected(stub, requests) -> None:
    """Check that each (method, request, reason or invalid field) is rejected so.

    A reason that starts with "unknown-" is NOT_FOUND; anything else names an invalid field.
    """
    for method, request, expected in requests:
        answer = await rejection(getattr(stub, method)(request))
        if expected.startswith("unknown-"):
            assert answer == (NOT_FOUND, expected, []), (method, request)
        else:
            assert answer == (INVALID, "invalid-argument", [expected]), (method, request)
