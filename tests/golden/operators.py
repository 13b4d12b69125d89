"""The output of `sagactl`."""

from collections.abc import Mapping, Sequence

from tests.golden.seen import Seen
from tests.golden.suite import Message, Observed, sagactl, top_json
from tests.support.eventually import eventually
from tests.support.suite import Suite

DEAD_LETTERS = {
    "e-json": b"rubbish",
    "e-item": b'{"orderid": "o", "status": "paid", "cart_items": [{"itemid": "?", "count": 1}]}',
    "e-order": b'{"orderid": "nobody", "status": "delivery-arranged",'
    b' "cart_items": [{"itemid": "blue", "count": 1}]}',
}


async def open_orders(seen: Seen, orderids: Sequence[str], environ: Mapping[str, str]) -> None:
    for orderid in orderids:
        await seen.print("order", orderid, environ=environ)
    await seen.print("pending", environ=environ)
    await seen.print("pending", "--older-than", "3600", environ=environ)
    await seen.print("audit", environ=environ, ordered=False)
    seen.files["sagactl-top.json"] = await top_json(environ)


async def operators(
    seen: Seen, suite: Suite, observed: Observed, environ: Mapping[str, str], orders: Sequence[str]
) -> None:
    for name in orders:
        await seen.print("order", seen.id(name), environ=environ)
    stock = {"STOCK_ADDRESS": suite.services.targets["stock"].removeprefix("ipv4:")}
    for line in (
        "order nothing",
        "pending",
        "audit",
        "faults list",
        "faults set --provider-delay 0.5 --provider-drops-responses",
        "faults set --provider-unavailable --pause delivery",
        "faults clear",
        "seed",
        "stock set green --price 7 --total-stock 9",
        "stock set green --waives-payment --shards 2",
        "stock set gold --total-stock 0",
    ):
        await seen.print(*line.split(), environ={**environ, **stock})
    await _dead_letters(seen, suite, environ)


async def _dead_letters(seen: Seen, suite: Suite, environ: Mapping[str, str]) -> None:
    async def are_there() -> bool:
        return (await sagactl(environ, "dlq", "list")).count("\n") == len(DEAD_LETTERS) + 1

    for eventid, body in DEAD_LETTERS.items():
        attributes = {"eventid": eventid, "type": "purchase.OrderTicket", "time": "t", "googclient": "x"}
        await suite.backend.bus.publish("com.example.delivery", [Message(body, attributes)])
    await eventually(are_there)
    for line in ("dlq list", "dlq show", "dlq list --reason-prefix malformed", "dlq redrive"):
        await seen.print(*line.split(), environ=environ, ordered=False)
    await seen.print("dlq", "redrive", "--event", "e-order", "--execute", environ=environ)
    await seen.print("dlq", "redrive", "--event", "e-order", "--unverified", "--execute", environ=environ)
    await eventually(are_there)
    for line in ("dlq list --event e-order", "dlq show --event e-order", "dlq drop"):
        await seen.print(*line.split(), environ=environ, ordered=line != "dlq drop")
    await seen.print("dlq", "drop", "--execute", "--reason-prefix", "unknown", environ=environ)
    await seen.print("dlq", "drop", "--execute", environ=environ, ordered=False)
    await seen.print("dlq", "list", environ=environ)
