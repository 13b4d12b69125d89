"""A gRPC proxy that forwards calls as bytes; subclasses inspect or change them."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any

import grpc

from sagakit.backends.gcp.channels import CHANNEL_OPTIONS, EMULATOR_OPTIONS

CLOSE_TIMEOUT_SECONDS = 10.0


class Proxy(grpc.GenericRpcHandler):
    """Forwards to one server. All calls except streaming pulls are unary."""

    def __init__(self, server: grpc.aio.Channel) -> None:
        self._server = server
        self._closing: set[asyncio.Task[None]] = set()

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        method = handler_call_details.method
        if method.endswith("/StreamingPull"):
            return grpc.stream_stream_rpc_method_handler(partial(self._stream, method))
        return grpc.unary_unary_rpc_method_handler(partial(self.call, method))

    async def call(self, method: str, request: bytes, context: Any) -> bytes:
        """Answer a unary call with the server's response."""
        call = self._server.unary_unary(method)
        try:
            answer: bytes = await call(
                request, metadata=_metadata(context), timeout=context.time_remaining() or None
            )
        except grpc.aio.AioRpcError as error:
            await context.abort(error.code(), error.details() or "", _trailing(error))
        return answer

    async def streamed(self, method: str, response: bytes, context: Any) -> None:
        """Called with each response of a stream; may abort the context to end the stream."""

    async def _stream(
        self, method: str, requests: AsyncIterator[bytes], context: Any
    ) -> AsyncIterator[bytes]:
        call = self._server.stream_stream(method)(metadata=_metadata(context))
        forwarding = asyncio.create_task(_forward_all(requests, call))
        try:
            async for response in call:
                await self.streamed(method, response, context)
                yield response
        except grpc.aio.AioRpcError as error:
            await context.abort(error.code(), error.details() or "")
        finally:
            forwarding.cancel()
            closing = asyncio.create_task(_end(call))
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)


async def _forward_all(requests: AsyncIterator[bytes], call: Any) -> None:
    async for request in requests:
        await call.write(request)
    await call.done_writing()


async def _end(call: Any) -> None:
    """End a stream in the way the broker notices.

    The Pub/Sub emulator (0.8.20) continues to deliver messages to cancelled streams, each for a lease; it
    notices only the end of the requests. Pub/Sub notices both.
    """
    with suppress(asyncio.InvalidStateError, grpc.aio.AioRpcError, asyncio.CancelledError):
        await call.done_writing()
    with suppress(grpc.aio.AioRpcError, asyncio.CancelledError, TimeoutError):
        async with asyncio.timeout(CLOSE_TIMEOUT_SECONDS):
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
    """Yield the "host:port" of a proxy for `server`. `port` 0: any free port."""
    async with grpc.aio.insecure_channel(server, options=EMULATOR_OPTIONS) as channel:
        serving = grpc.aio.server(options=[*CHANNEL_OPTIONS, ("grpc.so_reuseport", 0)])
        serving.add_generic_rpc_handlers([proxy(channel)])
        port = serving.add_insecure_port(f"127.0.0.1:{port}")
        await serving.start()
        try:
            yield f"127.0.0.1:{port}"
        finally:
            await serving.stop(grace=0)
