"""`PullSubscription` over Pub/Sub: pulls on request, a page at a time."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from google.api_core import exceptions
from google.pubsub_v1 import types
from google.pubsub_v1.services.subscriber import SubscriberAsyncClient
from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcAsyncIOTransport

from sagakit.backends.gcp.channels import aio_transport
from sagakit.backends.gcp.errors import translated
from sagakit.backends.gcp.leases import MAX_IDS
from sagakit.bus import PULL_LEASE_SECONDS, Message, PulledMessage

PULL_TIMEOUT_SECONDS = 3.0
"""How long a pull waits for its first message."""
CALL_TIMEOUT_SECONDS = 30.0


class PubsubPullSubscription:
    """Pulls one subscription on request."""

    def __init__(self, subscriber: SubscriberAsyncClient, path: str) -> None:
        self._subscriber = subscriber
        self._path = path

    async def pull(self, limit: int) -> list[PulledMessage]:
        request = types.PullRequest(subscription=self._path, max_messages=limit)
        with translated():
            try:
                response = await self._subscriber.pull(request, retry=None, timeout=PULL_TIMEOUT_SECONDS)
            except exceptions.DeadlineExceeded:
                return []
        return [
            PulledMessage(each.ack_id, Message(each.message.data, dict(each.message.attributes)))
            for each in response.received_messages
        ]

    async def acknowledge(self, messages: Sequence[PulledMessage]) -> None:
        await self._settle(self._subscriber.acknowledge, types.AcknowledgeRequest, messages)

    async def extend(self, messages: Sequence[PulledMessage]) -> None:
        await self._set_lease(messages, PULL_LEASE_SECONDS)

    async def release(self, messages: Sequence[PulledMessage]) -> None:
        await self._set_lease(messages, 0)

    async def _set_lease(self, messages: Sequence[PulledMessage], seconds: int) -> None:
        request = partial(types.ModifyAckDeadlineRequest, ack_deadline_seconds=seconds)
        for start in range(0, len(messages), MAX_IDS):
            part = messages[start : start + MAX_IDS]
            await self._settle(self._subscriber.modify_ack_deadline, request, part)

    async def _settle(self, method: Any, request: Any, messages: Sequence[PulledMessage]) -> None:
        if not messages:
            return
        ids = [each.id for each in messages]
        with translated():
            await method(
                request(subscription=self._path, ack_ids=ids), retry=None, timeout=CALL_TIMEOUT_SECONDS
            )


@asynccontextmanager
async def open_pubsub_pull_subscription(
    project: str, emulator: str, name: str
) -> AsyncIterator[PubsubPullSubscription]:
    transport = aio_transport(SubscriberGrpcAsyncIOTransport, emulator)
    try:
        path = f"projects/{project}/subscriptions/{name}"
        yield PubsubPullSubscription(SubscriberAsyncClient(transport=transport), path)
    finally:
        await transport.close()
