"""Use cases of items, each one transaction."""

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import TypeVar

import structlog

from sagakit.codec import to_entity
from sagakit.errors import FailedPrecondition, NotFound, Poison
from sagakit.store import Changes, Snapshot, Store
from services.stock import inventory
from services.stock.inventory import Item, ItemList, StockLevel
from services.stock.shards import ShardHints, known, seen, shards_of
from services.stock.storage import (
    CATALOGUE,
    item_entity,
    item_key,
    shard_entities,
    to_catalogue,
)

log = structlog.get_logger()

R = TypeVar("R")

PAGE = 100
MAX_ITEMS = 5_000
"""The catalogue is one entity of at most 1 MiB; an itemid takes up to 128 bytes."""


class Catalogue:
    """Each method returns the state its transaction left, or raises Rejected and changes nothing."""

    def __init__(self, store: Store, shard_hints: ShardHints) -> None:
        self._store = store
        self._shard_hints = shard_hints

    async def get_item(self, itemid: str) -> StockLevel:
        items, _ = await self._stocked([itemid])
        if itemid not in items:
            raise NotFound("unknown-item", f"there is no item {itemid}")
        return items[itemid]

    async def list_items(self, page_size: int, page_token: str) -> tuple[list[StockLevel], str]:
        """Return the items after `page_token`, by itemid, and the token of the next page ("" on the last)."""
        itemids = to_catalogue((await self._store.read([CATALOGUE])).get(CATALOGUE)).itemids
        start = bisect_right(itemids, page_token)
        page = itemids[start : start + (page_size or PAGE)]
        if not page:
            return [], ""
        items, unreadable = await self._stocked(page, skip_unreadable=True)
        for itemid, reason in unreadable.items():
            log.warning("item unreadable", itemid=itemid, reason=reason)
        return list(items.values()), page[-1] if page[-1] != itemids[-1] else ""

    async def put_item(
        self, itemid: str, price: int, stock: int, waives_payment: bool, only_if_absent: bool, shards: int
    ) -> StockLevel:
        """Create or change an item. `shards` 0: unchanged, 1 for a new item.

        Raises FailedPrecondition as `inventory.put`, and if the catalogue is full.
        """

        def decide(found: Snapshot) -> Changes[StockLevel]:
            before = known(found, [itemid]).get(itemid)
            found.require([] if before is None else shards_of(before))
            units = {} if before is None else seen(found, before)
            if before is not None and only_if_absent:
                return Changes(inventory.stocked(before, units))
            item = before or Item(itemid, price, stock)
            item = replace(
                item, price=price, stock=stock, waives_payment=waives_payment, shards=shards or item.shards
            )
            changed = inventory.put(before, units, item)
            writes = {item_key(itemid): item_entity(item), **shard_entities(itemid, changed)}
            if before is None:
                writes[CATALOGUE] = to_entity(_with(to_catalogue(found.get(CATALOGUE)), itemid))
            return Changes(inventory.stocked(item, changed or units), writes)

        return (await self._store.transact([*self._shard_hints.all_keys(itemid), CATALOGUE], decide)).result

    async def _stocked(
        self, itemids: Sequence[str], *, skip_unreadable: bool = False
    ) -> tuple[dict[str, StockLevel], dict[str, str]]:
        """Return the existing ones of the items, in one consistent view, and why others are unreadable.

        Raises Poison if an item is unreadable, unless `skip_unreadable`.
        """
        unreadable: dict[str, str] = {}

        def readable(itemid: str, read: Callable[[], R]) -> list[R]:
            try:
                return [read()]
            except Poison as poison:
                if not skip_unreadable:
                    raise
                unreadable[itemid] = poison.reason
                return []

        def view(found: Snapshot) -> dict[str, StockLevel]:
            read = [each for itemid in itemids for each in readable(itemid, partial(known, found, [itemid]))]
            items = [item for each in read for item in each.values()]
            found.require(key for item in items for key in shards_of(item))
            return {
                item.itemid: level
                for item in items
                for level in readable(item.itemid, partial(_level, found, item))
            }

        keys = [key for itemid in itemids for key in self._shard_hints.all_keys(itemid)]
        stocked = await self._store.view(keys, view)
        self._shard_hints.update(each.item for each in stocked.values())
        return stocked, unreadable


def _level(found: Snapshot, item: Item) -> StockLevel:
    return inventory.stocked(item, seen(found, item))


def _with(catalogue: ItemList, itemid: str) -> ItemList:
    if len(catalogue.itemids) >= MAX_ITEMS:
        raise FailedPrecondition("catalogue-full", f"the catalogue holds at most {MAX_ITEMS} items")
    return replace(catalogue, itemids=tuple(sorted({*catalogue.itemids, itemid})))
