"""A channel to a service that finds its name within seconds, however late the name exists."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

import grpc
from google.protobuf.message import Message
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub

from sagakit import deadline
from services.gateway import auth

_CHECK_INTERVAL_SECONDS = 1.0
_HEALTH_TIMEOUT_SECONDS = 1.0
_HEALTH_REUSED_SECONDS = 1.0


class ServiceChannel:
    """A channel whose calls carry the caller's token and the request's deadline, usable inside `async with`.

    An interceptor would do the same, at the cost of two more tasks for each call.

    While the service is unavailable it is replaced by a new one every second. gRPC asks for a name that does
    not exist at intervals that grow up to two minutes, whatever its options are; a new channel asks at once.
    Both share their connections.
    """

    def __init__(self, connect: Callable[[], grpc.aio.Channel], timeout_seconds: float) -> None:
        """`timeout_seconds`: the most a call takes."""
        self._connect = connect
        self._timeout_seconds = timeout_seconds
        self._methods: list[tuple[tuple[Any, ...], dict[str, Any]]] = []
        self._calls: list[Any] = []
        self._health_check: asyncio.Task[bool] | None = None
        self._health_expires_at = 0.0

    async def __aenter__(self) -> Self:
        self._open()
        self._task = asyncio.create_task(self._keep_connected())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._health_check is not None:
            self._health_check.cancel()
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task
        await self._channel.close()

    def unary_unary(self, *args: Any, **kwargs: Any) -> Callable[[Message], Awaitable[Message]]:
        """Return a callable for that method, as stubs need it."""
        method = len(self._methods)
        self._methods.append((args, kwargs))
        self._calls.append(self._channel.unary_unary(*args, **kwargs))

        def invoke(request: Message) -> Awaitable[Message]:
            response: Awaitable[Message] = self._calls[method](
                request, timeout=deadline.remaining(self._timeout_seconds), metadata=auth.metadata()
            )
            return response

        return invoke

    async def is_serving(self) -> bool:
        """Whether the service's health service answers SERVING within a second.

        All who ask share one check at a time, and its result for a second: probes need no token, and have no
        rate limit.
        """
        if self._health_check is None or (self._health_check.done() and _now() >= self._health_expires_at):
            self._health_check = asyncio.create_task(self._check_health())
        return await asyncio.shield(self._health_check)

    async def _check_health(self) -> bool:
        health: Any = HealthStub(self._channel)
        try:
            answer = await health.Check(HealthCheckRequest(), timeout=_HEALTH_TIMEOUT_SECONDS)
        except grpc.aio.AioRpcError:
            return False
        finally:
            self._health_expires_at = _now() + _HEALTH_REUSED_SECONDS
        return bool(answer.status == HealthCheckResponse.SERVING)

    def _open(self) -> None:
        # A channel belongs to the loop that runs when it is made.
        self._channel = self._connect()
        self._channel.get_state(try_to_connect=True)
        self._calls = [self._channel.unary_unary(*args, **kwargs) for args, kwargs in self._methods]

    async def _keep_connected(self) -> None:
        while True:
            await asyncio.sleep(_CHECK_INTERVAL_SECONDS)
            if self._channel.get_state(try_to_connect=True) is grpc.ChannelConnectivity.TRANSIENT_FAILURE:
                replaced = self._channel
                self._open()
                await replaced.close(self._timeout_seconds)


def _now() -> float:
    return asyncio.get_running_loop().time()
