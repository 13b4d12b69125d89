"""The event stream of an order, gone on with where it broke off."""

import json
from collections.abc import AsyncIterator

import httpx

from sagaclient.errors import APIStatusError, InvalidResponseError, TransportError
from sagaclient.models import OrderEvent
from sagaclient.transport import Transport


async def follow(transport: Transport, orderid: str, last_event_id: str) -> AsyncIterator[OrderEvent]:
    """Each move once, until the end, over as many connections as it takes."""
    attempt = 0
    while True:
        try:
            async with transport.stream(*_request(orderid, last_event_id)) as response:
                if response.status_code == httpx.codes.NO_CONTENT:
                    return
                attempt = 0
                async for event in _events(response):
                    last_event_id = event.id
                    yield event
                    if event.service is None:
                        return
            error: TransportError | APIStatusError = TransportError(
                f"the stream of {orderid} ended too early"
            )
        except (TransportError, APIStatusError) as broken:
            error = broken
        await transport.pause(attempt, error)
        attempt += 1


def _request(orderid: str, last_event_id: str) -> tuple[str, dict[str, str]]:
    seen = {"Last-Event-ID": last_event_id} if last_event_id else {}
    return f"/v1/orders/{orderid}/events", {"Accept": "text/event-stream", **seen}


async def _events(response: httpx.Response) -> AsyncIterator[OrderEvent]:
    """Events as they are dispatched (https://html.spec.whatwg.org/multipage/server-sent-events.html)."""
    fields: dict[str, str] = {}
    async for line in response.aiter_lines():
        name, _, value = line.partition(":")
        if name:
            fields[name] = value.removeprefix(" ")
        elif not line:
            if "data" in fields:
                yield _event(fields)
            fields = {}


def _event(fields: dict[str, str]) -> OrderEvent:
    try:
        data = json.loads(fields["data"])
        more = data.get("time"), data.get("trace_id")
        return OrderEvent(fields["id"], data.get("service"), data["status"], *more)
    except (ValueError, KeyError, AttributeError) as error:
        raise InvalidResponseError(f"the event {fields} is none of an order") from error
