"""A gRPC proxy between the services and an emulator, in which calls fail on purpose."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any

import grpc

from sagakit.gcp.channels import CHANNEL_OPTIONS
from tests.chaos.faults import Fault, Faults

ERRORS = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.INTERNAL, grpc.StatusCode.DEADLINE_EXCEEDED)
"""What a call that was done is answered with."""
FAREWELL_SECONDS = 10.0


class Proxy(grpc.GenericRpcHandler):
    """Hands every call on, as bytes."""

    def __init__(self, emulator: grpc.aio.Channel, faults: Faults) -> None:
        self._emulator = emulator
        self._faults = faults
        self._farewells: set[asyncio.Task[None]] = set()

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        method = handler_call_details.method
        if method.endswith("/StreamingPull"):
            return grpc.stream_stream_rpc_method_handler(partial(self._stream, method))
        return grpc.unary_unary_rpc_method_handler(partial(self._call, method))

    async def _call(self, method: str, request: bytes, context: Any) -> bytes:
        await self._faults.wait_out_stall()
        fault = self._faults.of(method.rpartition("/")[2])
        if fault is Fault.REFUSED or self._faults.away:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "refused on purpose")
        if fault is Fault.DROPPED:
            return b""
        if fault is Fault.DELAYED:
            await asyncio.sleep(self._faults.delay())
        if fault is Fault.DOUBLED:
            await self._hand_on(method, request, context)
        answer = await self._hand_on(method, request, context)
        if fault is Fault.UNANSWERED:
            await context.abort(self._faults.random.choice(ERRORS), "done, and not answered on purpose")
        return answer

    async def _hand_on(self, method: str, request: bytes, context: Any) -> bytes:
        call = self._emulator.unary_unary(method)
        try:
            answer: bytes = await call(
                request, metadata=_metadata(context), timeout=context.time_remaining() or None
            )
        except grpc.aio.AioRpcError as error:
            await context.abort(error.code(), error.details() or "", _trailing(error))
        return answer

    async def _stream(
        self, method: str, requests: AsyncIterator[bytes], context: Any
    ) -> AsyncIterator[bytes]:
        call = self._emulator.stream_stream(method)(metadata=_metadata(context))
        handing_on = asyncio.create_task(_hand_on_all(requests, call))
        try:
            async for response in call:
                if self._faults.away or self._faults.of("StreamingPull") is Fault.BROKEN:
                    await context.abort(grpc.StatusCode.UNAVAILABLE, "broken on purpose")
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

    The emulator (0.8.20) goes on handing messages to streams that are cancelled, for a lease each time; it
    knows only of those whose requests have ended.
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
async def proxied(emulator: str, port: int, faults: Faults) -> AsyncIterator[str]:
    """Yields the "host:port" at which the emulator at `emulator` is to be reached from now on."""
    async with grpc.aio.insecure_channel(emulator, options=CHANNEL_OPTIONS) as channel:
        server = grpc.aio.server(options=[*CHANNEL_OPTIONS, ("grpc.so_reuseport", 0)])
        server.add_generic_rpc_handlers([Proxy(channel, faults)])
        address = f"127.0.0.1:{port}"
        server.add_insecure_port(address)
        await server.start()
        try:
            yield address
        finally:
            await server.stop(grace=0)
