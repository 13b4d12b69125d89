"""Read a recording with the code at hand: `python reader.py DIRECTORY` prints what could not be read.

A release keeps a copy of this file beside its recordings, which fits its code for ever; so it needs nothing
but the release.
"""

import asyncio
import base64
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx

from contract.tickets import TicketMessage
from sagaclient import SagaClient
from sagakit.events import Event
from services.delivery.storage import to_shipment
from services.payment.simulated import to_entry
from services.payment.storage import to_charge
from services.purchase.storage import CART_CODEC, OPENED_CODEC, TICKET_CODEC, to_cart, to_ticket
from services.stock.storage import to_catalogue, to_item, to_reservation, to_shard

ENTITIES: Mapping[str, Callable[[str, Any], object]] = {
    "Cart": to_cart,
    "OrderTicket": to_ticket,
    "StockItem": to_item,
    "StockShard": lambda _, entity: to_shard(entity),
    "StockCatalogue": lambda _, entity: to_catalogue(entity),
    "Reservation": to_reservation,
    "Payment": to_charge,
    "SimulatedCharge": lambda _, entity: to_entry(entity),
    "Delivery": to_shipment,
}


def unreadable(directory: Path) -> Iterator[str]:
    """Yield a line for each entity, event and answer that cannot be read."""
    readers = {"commits.jsonl": _read_commit, "events.jsonl": _read_event, "answers.jsonl": _read_answer}
    for name, read in readers.items():
        for number, line in enumerate((directory / name).read_text().splitlines(), 1):
            try:
                read(json.loads(line))
            except Exception as error:  # noqa: BLE001 - whatever the code raises is the finding
                yield f"{name}:{number}: {error!r}: {line[:200]}"


def _read_commit(line: Any) -> None:
    kind, name, entity = line
    if entity is None:
        return
    entity = decoded(entity)
    if kind in ENTITIES:
        ENTITIES[kind](name, entity)
    elif kind.endswith("PublishEvent"):
        TicketMessage.from_event(Event(name, entity["type"], entity["body"], entity["attributes"]))
    elif "answer" in entity:
        _read_result(entity["request"], entity["answer"])
    else:
        assert kind.endswith("ReceivedEvent"), f"a kind without a reader: {kind}"


def _read_result(request: Mapping[str, Any], answer: Any) -> None:
    """Read the stored result of an idempotent command."""
    codec = OPENED_CODEC if "create" in request else CART_CODEC
    codec = TICKET_CODEC if {"checkout", "cancel"} & request.keys() else codec
    codec.load(answer)


def _read_event(line: Any) -> None:
    _, attributes, body = line
    TicketMessage.from_event(Event(attributes["eventid"], attributes["type"], body.encode(), attributes))


def _read_answer(answer: Any) -> None:
    """Let the client have the answer, to the read that returns the same resource."""
    kind = "text/event-stream" if answer["path"].endswith("/events") else "application/json"
    response = httpx.Response(200, headers={"content-type": kind}, text=answer["body"])

    async def read() -> None:
        async with SagaClient("http://gateway", transport=httpx.MockTransport(lambda _: response)) as client:
            await _read_of(client, answer["path"])

    asyncio.run(read())


async def _read_of(client: SagaClient, path: str) -> None:
    _, _, resource, name, *rest = [*path.split("/"), ""]
    if rest[:1] == ["events"]:
        assert [event async for event in client.order_events(name)]
    elif rest[:1] == ["history"]:
        assert await client.order_history(name)
    elif resource == "orders" or name.endswith(":checkout"):
        await client.get_order(name)
    elif resource == "carts":
        await client.get_cart(name)
    elif rest:
        await client.get_item(name)
    else:
        assert [item async for item in client.items()]


def decoded(value: Any) -> Any:
    """Return a stored value as it was."""
    if isinstance(value, list):
        return [decoded(each) for each in value]
    if not isinstance(value, dict):
        return value
    match value:
        case {"$bytes": text}:
            return base64.b64decode(text)
        case {"$time": text}:
            return datetime.fromisoformat(text)
    return {name: decoded(each) for name, each in value.items()}


if __name__ == "__main__":
    found = list(unreadable(Path(sys.argv[1])))
    for line in found:
        print(line)
    sys.exit(bool(found))
