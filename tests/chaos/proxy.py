"""A proxy between the services and an emulator, in which calls fail on purpose."""

import asyncio
from functools import partial
from typing import Any

import grpc

from bench.proxy import Proxy
from tests.chaos.faults import Fault, Faults

ERRORS = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.INTERNAL, grpc.StatusCode.DEADLINE_EXCEEDED)
"""What a call that was done is answered with."""


class Faulty(Proxy):
    """Hands calls on unless something goes wrong with them."""

    def __init__(self, emulator: grpc.aio.Channel, faults: Faults) -> None:
        super().__init__(emulator)
        self._faults = faults

    async def call(self, method: str, request: bytes, context: Any) -> bytes:
        await self._faults.wait_out_stall()
        fault = self._faults.of(method.rpartition("/")[2])
        if fault is Fault.REFUSED or self._faults.away:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "refused on purpose")
        if fault is Fault.DROPPED:
            return b""
        if fault is Fault.DELAYED:
            await asyncio.sleep(self._faults.delay())
        if fault is Fault.DOUBLED:
            await super().call(method, request, context)
        answer = await super().call(method, request, context)
        if fault is Fault.UNANSWERED:
            await context.abort(self._faults.random.choice(ERRORS), "done, and not answered on purpose")
        return answer

    async def streamed(self, method: str, response: bytes, context: Any) -> None:
        if self._faults.away or self._faults.of("StreamingPull") is Fault.BROKEN:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "broken on purpose")


def faulty(faults: Faults) -> Any:
    """What `proxied` makes a proxy with."""
    return partial(Faulty, faults=faults)
