"""Translates the errors of Google's libraries, for all adapters and in this one place."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import grpc
from google.api_core import exceptions
from google.auth.exceptions import GoogleAuthError

from sagakit.concurrency import is_cancelled
from sagakit.errors import SagaError, Unavailable

VENDOR_ERRORS: tuple[type[Exception], ...] = (
    exceptions.GoogleAPIError,  # an error status, and RetryError, which is no GoogleAPICallError
    GoogleAuthError,  # no credentials, or they cannot be refreshed: not in the tree of GoogleAPIError
    grpc.RpcError,  # an error status of a raw call
    grpc.aio.BaseError,  # a call on a closed channel (UsageError)
    OSError,  # a file of credentials or certificates, a socket
)

Translate = Callable[[Exception], SagaError]


def to_unavailable(error: Exception) -> SagaError:
    """Translate the error of a call that cannot have changed anything."""
    return Unavailable(describe(error))


def describe(error: Exception) -> str:
    """Return the status and message of an error."""
    if isinstance(error, exceptions.GoogleAPICallError):
        return f"{error.grpc_status_code}: {error.message}"
    return f"{type(error).__name__}: {error}"


@contextmanager
def translated(translate: Translate = to_unavailable) -> Iterator[None]:
    """Context manager: raise what `translate` returns for an error of Google's libraries.

    It receives an error status as GoogleAPICallError, and other errors as they are.
    """
    try:
        yield
    except grpc.RpcError as error:
        raise translate(exceptions.from_grpc_error(error)) from error  # type: ignore[no-untyped-call]
    except VENDOR_ERRORS as error:
        raise translate(error) from error
    except asyncio.CancelledError as error:
        if is_cancelled():
            raise
        raise translate(exceptions.from_grpc_status(grpc.StatusCode.CANCELLED, "")) from error  # type: ignore[no-untyped-call]
