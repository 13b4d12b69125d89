"""No error of Google's libraries leaves an adapter, whichever of its methods met it."""

import asyncio
import importlib
import inspect
import pkgutil
import queue
from collections.abc import AsyncIterator, Callable, Generator
from pathlib import Path
from typing import Any
from unittest.mock import create_autospec

import google.auth
import grpc
import pytest
from google.api_core import exceptions
from google.auth import exceptions as auth
from google.pubsub_v1.services.publisher import PublisherAsyncClient
from google.pubsub_v1.services.publisher.transports import PublisherGrpcAsyncIOTransport
from google.pubsub_v1.services.subscriber import SubscriberAsyncClient
from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcAsyncIOTransport

from sagakit.backends import gcp
from sagakit.backends.gcp.channels import LateCredentials, RawStreamCall, RawUnaryCall
from sagakit.backends.gcp.datastore import DatastoreTables, open_datastore
from sagakit.backends.gcp.errors import VENDOR_ERRORS
from sagakit.backends.gcp.leases import Leases
from sagakit.backends.gcp.provision import PubsubProvisioner, open_pubsub_provisioner
from sagakit.backends.gcp.pubsub import PubsubBus, open_pubsub
from sagakit.backends.gcp.pull import PubsubPullSubscription, open_pubsub_pull_subscription
from sagakit.backends.gcp.streaming_pull import PubsubDelivery, PubsubSubscription
from sagakit.bus import Message, PulledMessage, SubscriptionSpec
from sagakit.errors import SagaError, Unavailable
from sagakit.tables import Insert, Key

KEY = Key("Thing", "a")
SPEC = SubscriptionSpec("one-service.things", "things", "dead")
MESSAGE = Message(b"body", {})

ARGUMENTS: dict[tuple[type, str], tuple[Any, ...]] = {
    (DatastoreTables, "lookup"): ([KEY],),
    (DatastoreTables, "commit"): ([Insert(KEY, {})],),
    (DatastoreTables, "due"): ("Thing", "", "z", 1),
    (DatastoreTables, "page"): ("Thing", "", 1),
    (PubsubBus, "publish"): ("things", [MESSAGE]),
    (PubsubBus, "subscription_problem"): (SPEC.name,),
    (PubsubSubscription, "ended"): (),
    (PubsubProvisioner, "ensure_topic"): ("things",),
    (PubsubProvisioner, "ensure_subscription"): (SPEC,),
    (PubsubProvisioner, "remove_subscription"): (SPEC.name,),
    (PubsubProvisioner, "sweep"): ("ephemeral-",),
    (PubsubProvisioner, "listed"): ("ephemeral-",),
    (PubsubPullSubscription, "pull"): (1,),
    (PubsubPullSubscription, "acknowledge"): ([PulledMessage("1", MESSAGE)],),
    (PubsubPullSubscription, "extend"): ([PulledMessage("1", MESSAGE)],),
    (PubsubPullSubscription, "release"): ([PulledMessage("1", MESSAGE)],),
}
"""Every method that calls Google's libraries."""

WITHOUT_CALLS = {
    (DatastoreTables, "expire"),
    *((PubsubBus, name) for name in ("subscribe", "close")),
    *((PubsubSubscription, name) for name in ("close", "abandon", "settle")),
    *((PubsubDelivery, name) for name in ("ack", "nack")),  # sent by tasks of their own
}
NO_ADAPTERS = {LateCredentials, Leases, RawStreamCall, RawUnaryCall}
"""They are called by Google's libraries, or by adapters. Leases log what fails."""

STATUS = grpc.StatusCode.UNAVAILABLE
UNREACHABLE = [
    exceptions.ServiceUnavailable("no connection"),
    exceptions.RetryError("Timeout of 60.0s exceeded", exceptions.ServiceUnavailable("no connection")),
    auth.DefaultCredentialsError("no credentials were found"),
    auth.TransportError("the metadata server does not respond"),
    auth.RefreshError("no token"),
    grpc.RpcError("an error without a status"),
    grpc.aio.AioRpcError(STATUS, grpc.aio.Metadata(), grpc.aio.Metadata(), "no connection"),
    grpc.aio.UsageError("Channel is closed."),
    grpc.aio.InternalError("a defect of gRPC"),
    ConnectionResetError("reset by peer"),
    FileNotFoundError("no file of credentials"),
    asyncio.CancelledError(),
]
ANSWERED = [
    exceptions.from_grpc_status(code, "scripted")
    for code in grpc.StatusCode
    if code is not grpc.StatusCode.OK
]


def adapters() -> set[type]:
    """The classes of the package that are neither private nor data."""
    modules = [
        importlib.import_module(f"{gcp.__name__}.{each.name}") for each in pkgutil.iter_modules(gcp.__path__)
    ]
    return {
        found
        for module in modules
        for found in vars(module).values()
        if inspect.isclass(found) and found.__module__ == module.__name__ and found.__name__[0] != "_"
    }


def failing_channel(error: BaseException) -> Any:
    """A gRPC channel whose calls fail with an error."""
    channel = create_autospec(grpc.aio.Channel, instance=True)
    channel._unary_unary_interceptors = []
    channel.unary_unary.return_value = FailingMethod(error)
    channel.stream_stream.return_value = FailingStream(error)
    return channel


class FailingMethod(grpc.aio.UnaryUnaryMultiCallable):
    def __init__(self, error: BaseException) -> None:
        self._error = error

    def __call__(self, *_: Any, **__: Any) -> "FailingCall":
        return FailingCall(self._error)


class FailingCall:
    def __init__(self, error: BaseException) -> None:
        self._error = error

    def __await__(self) -> Generator[Any, Any, Any]:
        yield from asyncio.sleep(0).__await__()
        raise self._error


class FailingStream(grpc.aio.StreamStreamMultiCallable):
    """A method whose streams fail once they are read."""

    def __init__(self, error: BaseException) -> None:
        self._error = error

    def __call__(self, *_: Any, **__: Any) -> "FailingStream":
        return self

    def __aiter__(self) -> "FailingStream":
        return self

    async def __anext__(self) -> Any:
        await asyncio.sleep(0)
        raise self._error

    def cancel(self) -> None:
        pass


def failing(adapter: type, error: BaseException) -> Any:
    """An adapter whose every call of Google's libraries raises the error."""
    channel = failing_channel(error)
    publisher = PublisherAsyncClient(transport=PublisherGrpcAsyncIOTransport(channel=channel))
    subscriber = SubscriberAsyncClient(transport=SubscriberGrpcAsyncIOTransport(channel=channel))
    make: dict[type, Callable[[], Any]] = {
        DatastoreTables: lambda: DatastoreTables(channel, "p", "", 5),
        PubsubBus: lambda: PubsubBus(channel, "p"),
        PubsubSubscription: lambda: PubsubBus(channel, "p").subscribe(SPEC.name, lambda _: None, 1),
        PubsubProvisioner: lambda: PubsubProvisioner(publisher, subscriber, "p", ("labels",)),
        PubsubPullSubscription: lambda: PubsubPullSubscription(subscriber, "s"),
    }
    return make[adapter]()


async def call(method: tuple[type, str], error: BaseException) -> None:
    adapter, name = method
    result = getattr(failing(adapter, error), name)(*ARGUMENTS[method])
    if isinstance(result, AsyncIterator):
        async for _ in result:
            pass
    elif inspect.isawaitable(result):
        await result


def name_of(value: Any) -> str:
    return f"{value[0].__name__}.{value[1]}" if isinstance(value, tuple) else repr(value)[:40]


def test_every_method_of_an_adapter_is_among_those_tested():
    methods = {
        (adapter, name)
        for adapter in adapters() - NO_ADAPTERS
        for name, found in vars(adapter).items()
        if name[0] != "_" and inspect.isfunction(found)
    }

    assert methods == ARGUMENTS.keys() | WITHOUT_CALLS


@pytest.mark.parametrize("error", UNREACHABLE, ids=name_of)
@pytest.mark.parametrize("method", ARGUMENTS, ids=name_of)
async def test_method_is_unavailable_if_google_cannot_be_reached(method: tuple[type, str], error: Exception):
    with pytest.raises(Unavailable) as raised:
        await call(method, error)

    assert raised.value.__cause__ is not None


@pytest.mark.parametrize("error", ANSWERED, ids=name_of)
@pytest.mark.parametrize("method", ARGUMENTS, ids=name_of)
async def test_error_status_leaves_a_method_as_an_error_of_the_kit_or_as_a_result(
    method: tuple[type, str], error: Exception
):
    try:
        await call(method, error)
    except SagaError as raised:
        assert raised.__cause__ is not None


def test_every_kind_of_vendor_error_is_among_those_raised():
    assert all(any(isinstance(error, kind) for error in UNREACHABLE) for kind in VENDOR_ERRORS)


@pytest.mark.parametrize(
    "method", [each for each in ARGUMENTS if each[1] not in ("subscribe", "ended")], ids=name_of
)
async def test_cancelled_task_ends(method: tuple[type, str]):
    async def cancel_itself() -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await call(method, exceptions.ServiceUnavailable("not reached"))

    with pytest.raises(asyncio.CancelledError):
        await asyncio.create_task(cancel_itself())


async def test_backend_is_opened_without_credentials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Known mistake: a metadata server that starts later than the process ends it."""
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "missing.json"))

    async with (
        open_datastore("p", "", ""),
        open_pubsub("p", ""),
        open_pubsub_provisioner("p", ""),
        open_pubsub_pull_subscription("p", "", "s"),
    ):
        pass


def test_credentials_are_looked_up_by_each_call_until_they_are_found(monkeypatch: pytest.MonkeyPatch):
    found: queue.Queue[Any] = queue.Queue()

    class Found:
        def before_request(self, request: Any, method: str, url: str, headers: dict[str, str]) -> None:
            headers["authorization"] = "Bearer token"

    def default(scopes: Any) -> tuple[Any, None]:
        if found.empty():
            raise auth.DefaultCredentialsError("no credentials were found")
        return found.get_nowait(), None

    monkeypatch.setattr(google.auth, "default", default)
    credentials, headers = LateCredentials(["scope"]), dict[str, str]()
    for _ in range(2):
        with pytest.raises(auth.DefaultCredentialsError):
            credentials.before_request(None, "", "", headers)

    found.put(Found())
    for _ in range(2):
        credentials.before_request(None, "", "", headers)

    assert headers == {"authorization": "Bearer token"}
