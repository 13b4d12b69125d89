"""Leases of received messages: extended until each is settled, all in batches."""

import asyncio
import contextvars
from collections.abc import Awaitable, Coroutine, Iterable
from typing import Any

import grpc
import structlog
from google.pubsub_v1 import types

from sagakit.backends.gcp.channels import RawUnaryCall
from sagakit.backends.gcp.errors import translated
from sagakit.errors import SagaError

log = structlog.get_logger()

LEASE_SECONDS = 10
"""How long a message is unavailable to others after its process crashed: Pub/Sub's minimum."""
MAX_LEASE_SECONDS = 300.0
"""Time after which a lease is not extended any more: its handler hangs."""
LINGER_SECONDS = 0.02
"""Time for which acknowledgements wait for others: nothing depends on when they are sent."""
CALL_TIMEOUT_SECONDS = 10.0
ATTEMPTS = 3
"""How often acknowledgements are sent if the broker cannot be reached; then the messages are redelivered."""
MAX_IDS = 1_000
"""Messages of one request: it is limited to 512 KiB, and an id has about 200 bytes."""

_Acknowledge: Any = types.AcknowledgeRequest.pb()
_ModifyAckDeadline: Any = types.ModifyAckDeadlineRequest.pb()


class Leases:
    """The leases of one pull."""

    def __init__(self, acknowledge: RawUnaryCall, modify: RawUnaryCall, subscription: str) -> None:
        """`subscription`: its path."""
        self._acknowledge = acknowledge
        self._modify = modify
        self._subscription = subscription
        self._extended_until: dict[str, float] = {}
        """By id, in the loop's time."""
        self._acked: list[str] = []
        self._nacked: list[str] = []
        self._sending: asyncio.Task[None] | None = None
        self._extending: asyncio.Task[None] | None = None

    def add(self, ids: Iterable[str]) -> None:
        """Extend these leases from now on."""
        until = asyncio.get_running_loop().time() + MAX_LEASE_SECONDS
        self._extended_until.update(dict.fromkeys(ids, until))
        self._extending = self._extending or _start(self._extend())

    def settle(self, id_: str, *, acked: bool) -> None:
        """Acknowledge a message soon, or end its lease."""
        self._extended_until.pop(id_, None)
        (self._acked if acked else self._nacked).append(id_)
        self._sending = self._sending or _start(self._send())

    async def close(self) -> None:
        """Send what has been settled. The other leases end when their time is over."""
        if self._extending:
            self._extending.cancel()
        if self._sending:
            await self._sending

    async def _send(self) -> None:
        try:
            while self._acked or self._nacked:
                await asyncio.sleep(LINGER_SECONDS)
                acked, self._acked = self._acked[:MAX_IDS], self._acked[MAX_IDS:]
                nacked, self._nacked = self._nacked[:MAX_IDS], self._nacked[MAX_IDS:]
                if acked:
                    request = _Acknowledge(subscription=self._subscription, ack_ids=acked)
                    await self._call(self._acknowledge, request, ATTEMPTS)
                if nacked:
                    await self._call(self._modify, self._deadline_of(nacked, 0), ATTEMPTS)
        finally:
            self._sending = None

    async def _extend(self) -> None:
        try:
            while self._extended_until:
                await asyncio.sleep(LEASE_SECONDS / 3)
                now = asyncio.get_running_loop().time()
                self._extended_until = {id_: end for id_, end in self._extended_until.items() if end > now}
                ids = list(self._extended_until)
                for start in range(0, len(ids), MAX_IDS):
                    request = self._deadline_of(ids[start : start + MAX_IDS], LEASE_SECONDS)
                    await self._call(self._modify, request, attempts=1)
        finally:
            self._extending = None

    def _deadline_of(self, ids: list[str], seconds: int) -> Any:
        return _ModifyAckDeadline(subscription=self._subscription, ack_ids=ids, ack_deadline_seconds=seconds)

    async def _call(self, method: RawUnaryCall, request: Any, attempts: int) -> None:
        for attempt in range(attempts):
            try:
                with translated():
                    await _unless_deleted(method(request, CALL_TIMEOUT_SECONDS))
            except SagaError as error:
                log.warning("leases not changed", count=len(request.ack_ids), error=str(error))
                await asyncio.sleep(attempt + 1)
            else:
                return


async def _unless_deleted(call: Awaitable[Any]) -> None:
    try:
        await call
    except grpc.aio.AioRpcError as error:
        # The messages of a deleted subscription are gone, too.
        if error.code() is not grpc.StatusCode.NOT_FOUND:
            raise


def _start(work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
    # In a context of its own: it serves many deliveries, and outlives that of the one that started it.
    return asyncio.create_task(work, context=contextvars.Context())
