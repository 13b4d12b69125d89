"""The event stream of an order, continued over interrupted connections."""

import json
from collections.abc import AsyncIterator

import httpx

from sagaclient.errors import APIStatusError, InvalidResponseError, TransportError
from sagaclient.models import OrderEvent
from sagaclient.transport import Transport


async def follow(transport: Transport, orderid: str, last_event_id: str) -> AsyncIterator[OrderEvent]:
    """Yield each event after `last_event_id` once, up to the end, over several connections if needed."""
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
                f"the event stream of {orderid} was closed before its end"
            )
        except (TransportError, APIStatusError) as caught:
            error = caught
        await transport.back_off(attempt, error)
        attempt += 1


def _request(orderid: str, last_event_id: str) -> tuple[str, dict[str, str]]:
    resume = {"Last-Event-ID": last_event_id} if last_event_id else {}
    return f"/v1/orders/{orderid}/events", {"Accept": "text/event-stream", **resume}


async def _events(response: httpx.Response) -> AsyncIterator[OrderEvent]:
    """Parse server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html).

    The API sends `data` in one line, so lines are not joined.
    """
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
        optional = data.get("time"), data.get("trace_id")
        return OrderEvent(fields["id"], data.get("service"), data["status"], *optional)
    except (ValueError, KeyError, AttributeError, RecursionError) as error:
        raise InvalidResponseError(f"not an event of an order: {fields}") from error
