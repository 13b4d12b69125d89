"""Fields that are added to stored entities while the suite runs: orders come to their end and keep them."""

from collections.abc import Callable, Mapping
from typing import Any

from rpc import stock_pb2 as stock_pb
from sagakit.errors import Contention
from sagakit.tables import Entity, Key, Tables, Update
from services.purchase.storage import ticket_key
from services.stock.storage import item_key, shard_key
from tests.support.eventually import eventually
from tests.support.suite import running_suite

ADDED = {"added": {"by": "hand"}}


async def test_orders_come_to_their_end_and_keep_fields_added_by_hand(backend_environ: Mapping[str, str]):
    async with running_suite(backend_environ, without=["payment"]) as suite:
        orderid = (await suite.order("c", blue=1)).orderid
        await suite.ticket_becomes(orderid, "reserved")
        item, shards = item_key("blue"), [shard_key("blue", number) for number in range(8)]
        tables = suite.backend.tables
        for key in (item, *shards):
            await rewrite(tables, key, lambda entity: {**entity, **ADDED})
        await rewrite(tables, ticket_key(orderid), with_field_in_history)

        await suite.services.start("payment")
        later = (await suite.order("d", blue=1)).orderid
        await suite.stock.PutItem(stock_pb.PutItemRequest(itemid="blue", price=200, stock=100_000))

        for each in (orderid, later):
            await suite.ticket_becomes(each, "approved")
        await suite.balances()
        rows = await tables.lookup([item, *shards, ticket_key(orderid)])
        first, *_, last = rows[ticket_key(orderid)].entity["history"]
        assert first["added"] == ADDED["added"]
        assert "added" not in last
        assert [rows[key].entity.get("added") for key in (item, *shards)] == [ADDED["added"]] * 9
        assert rows[item].entity["price"] == 200


def with_field_in_history(ticket: Entity) -> dict[str, Any]:
    first, *others = ticket["history"]
    return {**ticket, "history": [{**first, **ADDED}, *others]}


async def rewrite(tables: Tables, key: Key, change: Callable[[Entity], Entity]) -> None:
    """Change an entity that the services may be changing too."""

    async def rewritten() -> bool:
        row = (await tables.lookup([key]))[key]
        try:
            await tables.commit([Update(key, change(row.entity), row.version)])
        except Contention:
            return False
        return True

    await eventually(rewritten)
