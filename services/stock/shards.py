"""Where the shards of items are, as far as a process knows: so that they are looked up with the items."""

from collections.abc import Iterable, Sequence

from contract.tickets import TicketMessage
from sagakit.store import Snapshot
from sagakit.tables import Key
from services.stock.inventory import Item, Shard, home_shard
from services.stock.storage import item_key, shard_key, shard_keys, to_item, to_shard


class ShardHints:
    """How many shards items were seen to have. It may have grown since: what is guessed too low is still a
    shard of the item's, and who needs more requires it.
    """

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}

    def update(self, items: Iterable[Item]) -> None:
        self._counts.update((item.itemid, item.shards) for item in items)

    def all_keys(self, itemid: str) -> list[Key]:
        """An item and all its shards."""
        return [item_key(itemid), *shard_keys(itemid, range(self._counts.get(itemid, 1)))]

    def preferred_keys(self, ticket: TicketMessage) -> list[Key]:
        """Of each item of an order, the shard it turns to first."""
        return [
            shard_key(itemid, home_shard(ticket.orderid, self._counts.get(itemid, 1)))
            for itemid in itemids_of(ticket)
        ]


def itemids_of(ticket: TicketMessage) -> list[str]:
    return list(dict.fromkeys(item.itemid for item in ticket.cart_items))


def known(found: Snapshot, itemids: Sequence[str]) -> dict[str, Item]:
    """Those of the items that there are."""
    entities = {itemid: found.get(item_key(itemid)) for itemid in itemids}
    return {itemid: to_item(itemid, entity) for itemid, entity in entities.items() if entity is not None}


def shards_of(item: Item) -> list[Key]:
    return shard_keys(item.itemid, range(item.shards))


def seen(found: Snapshot, item: Item) -> dict[int, Shard]:
    """Those of the item's shards that were looked up."""
    entities = {number: found.get(key) for number, key in enumerate(shards_of(item))}
    return {number: to_shard(entity) for number, entity in entities.items() if entity is not None}
