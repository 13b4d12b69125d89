"""A proxy between the services and an emulator that injects faults."""

import asyncio
from functools import partial
from typing import Any

import grpc

from bench.proxy import Proxy
from tests.chaos.faults import Fault, Faults

ERRORS = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.INTERNAL, grpc.StatusCode.DEADLINE_EXCEEDED)
"""Errors that answer a call which was executed."""


class Faulty(Proxy):
    """Forwards calls, except for those with a fault."""

    def __init__(self, emulator: grpc.aio.Channel, faults: Faults) -> None:
        super().__init__(emulator)
        self._faults = faults

    async def call(self, method: str, request: bytes, context: Any) -> bytes:
        await self._faults.wait_out_stall()
        fault = self._faults.of(method.rpartition("/")[2])
        if fault is Fault.REJECTED or self._faults.unavailable:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "injected rejection")
        if fault is Fault.DROPPED:
            return b""
        if fault is Fault.DELAYED:
            await asyncio.sleep(self._faults.delay())
        if fault is Fault.DOUBLED:
            await super().call(method, request, context)
        answer = await super().call(method, request, context)
        if fault is Fault.UNANSWERED:
            await context.abort(self._faults.random.choice(ERRORS), "executed, injected error")
        return answer

    async def streamed(self, method: str, response: bytes, context: Any) -> None:
        if self._faults.unavailable or self._faults.of("StreamingPull") is Fault.BROKEN:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "injected stream error")


def faulty(faults: Faults) -> Any:
    """Return a proxy factory for `proxied`."""
    return partial(Faulty, faults=faults)
