"""The event stream of an order, continued over interrupted connections."""

import json
from collections.abc import AsyncIterator

import httpx

from sagaclient.errors import APIStatusError, InvalidResponseError, TransportError
from sagaclient.models import OrderEvent
from sagaclient.transport import Transport

SILENCE_TIMEOUT_SECONDS = 25.0
"""A connection without any bytes for this long is broken: the API sends a heartbeat every 10 s."""
STABLE_AFTER_SECONDS = 30.0
"""A connection that lasted this long was no failed attempt, even without an event."""


async def follow(transport: Transport, orderid: str, last_event_id: str) -> AsyncIterator[OrderEvent]:
    """Yield each event after `last_event_id` once, up to the end, over several connections if needed.

    Attempts count from the last connection that brought a new event or lasted, so that a server that accepts
    connections and drops them is not asked for ever.
    """
    stream = _Stream(last_event_id)
    attempt = 0
    while True:
        began_at, began_after = transport.monotonic(), stream.last_id
        headers = _headers(stream.last_id)
        try:
            path = f"/v1/orders/{orderid}/events"
            async with transport.stream(path, headers, SILENCE_TIMEOUT_SECONDS) as response:
                if response.status_code == httpx.codes.NO_CONTENT:
                    return
                async for event in stream.events(response):
                    yield event
                    if event.service is None:
                        return
            error: TransportError | APIStatusError = TransportError(
                f"the event stream of {orderid} was closed before its end"
            )
        except (TransportError, APIStatusError) as caught:
            error = caught
        lasted = transport.monotonic() - began_at >= STABLE_AFTER_SECONDS
        if lasted or stream.last_id != began_after:
            attempt = 0
        await transport.back_off(attempt, error, stream.retry_seconds)
        attempt += 1


def _headers(last_event_id: str) -> dict[str, str]:
    resume = {"Last-Event-ID": last_event_id} if last_event_id else {}
    return {"Accept": "text/event-stream", **resume}


class _Stream:
    """Server-sent events over several connections.

    (https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation)
    """

    def __init__(self, last_id: str) -> None:
        self.last_id = last_id
        self.retry_seconds = 0.0
        """Delay before a reconnect, as the server asks for it."""

    async def events(self, response: httpx.Response) -> AsyncIterator[OrderEvent]:
        """Yield the events of one connection; one that is cut off is left out."""
        id_, data = self.last_id, list[str]()
        async for line in response.aiter_lines():
            name, _, value = line.partition(":")
            value = value.removeprefix(" ")
            if name == "data":
                data.append(value)
            elif name == "id" and "\0" not in value:
                id_ = value
            elif name == "retry" and value.isascii() and value.isdecimal():
                self.retry_seconds = int(value) / 1000
            elif not line:
                if data:
                    self.last_id = id_
                    yield _event(id_, "\n".join(data))
                data = []


def _event(id_: str, data: str) -> OrderEvent:
    try:
        fields = json.loads(data)
        optional = fields.get("time"), fields.get("trace_id")
        return OrderEvent(id_, fields.get("service"), fields["status"], *optional)
    except (ValueError, KeyError, AttributeError) as error:
        raise InvalidResponseError(f"not an event of an order: {data}") from error
