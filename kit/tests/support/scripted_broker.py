"""A Pub/Sub server whose streams a test writes, and which records what is settled."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import grpc
from google.protobuf import empty_pb2
from google.pubsub_v1 import types

_EMPTY = empty_pb2.Empty().SerializeToString()


class ScriptedBroker:
    """Sends `messages` (data by ack id) to the stream that is opened first."""

    def __init__(self, messages: Mapping[str, bytes], *, late: Mapping[str, bytes] = {}) -> None:
        """`late`: sent once the client has ended its requests."""
        self.streams = 0
        self.acknowledged: list[list[str]] = []
        self.released: list[str] = []
        self.failures: list[grpc.StatusCode] = []
        """Of the next acknowledgements."""
        self._messages = messages
        self._late = late

    async def _pull(self, requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
        self.streams += 1
        if self.streams == 1 and self._messages:
            yield _response(self._messages)
        async for _ in requests:
            pass
        if self._late:
            yield _response(self._late)

    async def _acknowledge(self, request: bytes, context: Any) -> bytes:
        if self.failures:
            await context.abort(self.failures.pop(0), "scripted")
        self.acknowledged.append(list(types.AcknowledgeRequest.deserialize(request).ack_ids))
        return _EMPTY

    async def _modify(self, request: bytes, context: Any) -> bytes:
        modify = types.ModifyAckDeadlineRequest.deserialize(request)
        if modify.ack_deadline_seconds == 0:
            self.released += modify.ack_ids
        return _EMPTY

    @asynccontextmanager
    async def serving(self, port: int = 0) -> AsyncIterator[str]:
        """Serve at that port, or at a free one; yields "host:port"."""
        server = grpc.aio.server()
        methods = {
            "StreamingPull": grpc.stream_stream_rpc_method_handler(self._pull),
            "Acknowledge": grpc.unary_unary_rpc_method_handler(self._acknowledge),
            "ModifyAckDeadline": grpc.unary_unary_rpc_method_handler(self._modify),
        }
        server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler("google.pubsub.v1.Subscriber", methods),)
        )
        port = server.add_insecure_port(f"127.0.0.1:{port}")
        await server.start()
        try:
            yield f"127.0.0.1:{port}"
        finally:
            await server.stop(None)


def _response(messages: Mapping[str, bytes]) -> bytes:
    received = [
        types.ReceivedMessage(ack_id=ack_id, message=types.PubsubMessage(data=data, message_id=ack_id))
        for ack_id, data in messages.items()
    ]
    response = types.StreamingPullResponse(received_messages=received)
    serialized: bytes = types.StreamingPullResponse.serialize(response)
    return serialized
