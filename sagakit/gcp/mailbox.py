"""`Mailbox` over Pub/Sub: pulled by hand, a page at a time."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from google.api_core import exceptions
from google.pubsub_v1 import types
from google.pubsub_v1.services.subscriber import SubscriberAsyncClient
from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcAsyncIOTransport

from sagakit.bus import Held, Message
from sagakit.gcp.channels import aio_transport, away

PULL_SECONDS = 3.0
"""How long a pull waits for a first message."""
CALL_SECONDS = 30.0


class PubsubMailbox:
    """One subscription."""

    def __init__(self, subscriber: SubscriberAsyncClient, path: str) -> None:
        self._subscriber = subscriber
        self._path = path

    async def take(self, limit: int) -> list[Held]:
        request = types.PullRequest(subscription=self._path, max_messages=limit)
        try:
            response = await self._subscriber.pull(request, retry=None, timeout=PULL_SECONDS)
        except exceptions.DeadlineExceeded:
            return []
        except exceptions.GoogleAPICallError as error:
            raise away(error) from error
        return [
            Held(each.ack_id, Message(each.message.data, dict(each.message.attributes)))
            for each in response.received_messages
        ]

    async def remove(self, held: Sequence[Held]) -> None:
        if held:
            ids = [each.id for each in held]
            await self._call(
                self._subscriber.acknowledge, types.AcknowledgeRequest(subscription=self._path, ack_ids=ids)
            )

    async def give_back(self, held: Sequence[Held]) -> None:
        if held:
            ids = [each.id for each in held]
            request = types.ModifyAckDeadlineRequest(
                subscription=self._path, ack_ids=ids, ack_deadline_seconds=0
            )
            await self._call(self._subscriber.modify_ack_deadline, request)

    async def _call(self, method: Any, request: Any) -> None:
        try:
            await method(request, timeout=CALL_SECONDS)
        except exceptions.GoogleAPICallError as error:
            raise away(error) from error


@asynccontextmanager
async def open_pubsub_mailbox(project: str, emulator: str, name: str) -> AsyncIterator[PubsubMailbox]:
    transport = aio_transport(SubscriberGrpcAsyncIOTransport, emulator)
    try:
        path = f"projects/{project}/subscriptions/{name}"
        yield PubsubMailbox(SubscriberAsyncClient(transport=transport), path)
    finally:
        await transport.close()
