"""Shard counts seen by this process, so that shards are read together with their items."""

from collections.abc import Iterable, Sequence

from contract.tickets import TicketMessage
from sagakit.store import Snapshot
from sagakit.tables import Key
from services.stock.inventory import Item, Shard, home_shard
from services.stock.storage import item_key, shard_key, shard_keys, to_item, to_shard


class ShardHints:
    """Last seen number of shards per item. An item may have more by now: a key derived from the lower number
    still names one of its shards, and a transaction that needs others requires them.
    """

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}

    def update(self, items: Iterable[Item]) -> None:
        """Remember the shard counts of `items`."""
        self._counts.update((item.itemid, item.shards) for item in items)

    def all_keys(self, itemid: str) -> list[Key]:
        """Return the keys of an item and all its shards."""
        return [item_key(itemid), *shard_keys(itemid, range(self._counts.get(itemid, 1)))]

    def preferred_keys(self, ticket: TicketMessage) -> list[Key]:
        """Return the key of the home shard of each item of an order."""
        return [
            shard_key(itemid, home_shard(ticket.orderid, self._counts.get(itemid, 1)))
            for itemid in itemids_of(ticket)
        ]


def itemids_of(ticket: TicketMessage) -> list[str]:
    return list(dict.fromkeys(item.itemid for item in ticket.cart_items))


def known(found: Snapshot, itemids: Sequence[str]) -> dict[str, Item]:
    """Return the existing ones of the items."""
    entities = {itemid: found.get(item_key(itemid)) for itemid in itemids}
    return {itemid: to_item(itemid, entity) for itemid, entity in entities.items() if entity is not None}


def shards_of(item: Item) -> list[Key]:
    return shard_keys(item.itemid, range(item.shards))


def seen(found: Snapshot, item: Item) -> dict[int, Shard]:
    """Return those of the item's shards that were read."""
    entities = {number: found.get(key) for number, key in enumerate(shards_of(item))}
    return {number: to_shard(entity) for number, entity in entities.items() if entity is not None}
