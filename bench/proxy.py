"""A gRPC proxy that hands everything on, as bytes, and lets somebody look at it on the way."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any

import grpc

from sagakit.backends.gcp.channels import CHANNEL_OPTIONS

FAREWELL_SECONDS = 10.0


class Proxy(grpc.GenericRpcHandler):
    """In front of one server; of its calls, all but streaming pulls are from one request to one answer."""

    def __init__(self, server: grpc.aio.Channel) -> None:
        self._server = server
        self._farewells: set[asyncio.Task[None]] = set()

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        method = handler_call_details.method
        if method.endswith("/StreamingPull"):
            return grpc.stream_stream_rpc_method_handler(partial(self._stream, method))
        return grpc.unary_unary_rpc_method_handler(partial(self.call, method))

    async def call(self, method: str, request: bytes, context: Any) -> bytes:
        """Answer a call; here, as the server does."""
        call = self._server.unary_unary(method)
        try:
            answer: bytes = await call(
                request, metadata=_metadata(context), timeout=context.time_remaining() or None
            )
        except grpc.aio.AioRpcError as error:
            await context.abort(error.code(), error.details() or "", _trailing(error))
        return answer

    async def streamed(self, method: str, response: bytes, context: Any) -> None:
        """Look at what a stream says; aborting the context ends it."""

    async def _stream(
        self, method: str, requests: AsyncIterator[bytes], context: Any
    ) -> AsyncIterator[bytes]:
        call = self._server.stream_stream(method)(metadata=_metadata(context))
        handing_on = asyncio.create_task(_hand_on_all(requests, call))
        try:
            async for response in call:
                await self.streamed(method, response, context)
                yield response
        except grpc.aio.AioRpcError as error:
            await context.abort(error.code(), error.details() or "")
        finally:
            handing_on.cancel()
            farewell = asyncio.create_task(_end(call))
            self._farewells.add(farewell)
            farewell.add_done_callback(self._farewells.discard)


async def _hand_on_all(requests: AsyncIterator[bytes], call: Any) -> None:
    async for request in requests:
        await call.write(request)
    await call.done_writing()


async def _end(call: Any) -> None:
    """End a stream as a broker sees one end whose client is gone.

    The Pub/Sub emulator (0.8.20) goes on handing messages to streams that are cancelled, for a lease each
    time; it knows only of those whose requests have ended. Pub/Sub knows of both.
    """
    with suppress(asyncio.InvalidStateError, grpc.aio.AioRpcError, asyncio.CancelledError):
        await call.done_writing()
    with suppress(grpc.aio.AioRpcError, asyncio.CancelledError, TimeoutError):
        async with asyncio.timeout(FAREWELL_SECONDS):
            async for _ in call:
                pass
    call.cancel()


def _trailing(error: grpc.aio.AioRpcError) -> tuple[tuple[str, Any], ...]:
    return tuple(error.trailing_metadata() or ())


def _metadata(context: Any) -> tuple[tuple[str, Any], ...]:
    return tuple(pair for pair in context.invocation_metadata() or () if pair[0].startswith("x-goog"))


@asynccontextmanager
async def proxied(
    server: str, port: int, proxy: Callable[[grpc.aio.Channel], Proxy] = Proxy
) -> AsyncIterator[str]:
    """Yields the "host:port" (0: any that is free) at which `server` is to be reached through a proxy."""
    async with grpc.aio.insecure_channel(server, options=CHANNEL_OPTIONS) as channel:
        serving = grpc.aio.server(options=[*CHANNEL_OPTIONS, ("grpc.so_reuseport", 0)])
        serving.add_generic_rpc_handlers([proxy(channel)])
        port = serving.add_insecure_port(f"127.0.0.1:{port}")
        await serving.start()
        try:
            yield f"127.0.0.1:{port}"
        finally:
            await serving.stop(grace=0)
