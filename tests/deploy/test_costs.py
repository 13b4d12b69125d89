"""The costs in docs/deploy.md: operations counted, times Google's list prices."""

from dataclasses import dataclass
from itertools import chain

import pytest

from sagakit.tables import EXPIRES_AT, Delete, Entity, Key
from tests.support.counted_saga import CountedSaga
from tests.support.manifests import ROOT

# us-central1, Standard edition (https://cloud.google.com/datastore/pricing), per 100,000 entities.
READ, WRITE, DELETE = 0.03, 0.09, 0.01
# https://cloud.google.com/pubsub/pricing: per TiB in or out; a message counts as 1 kB at least.
TIB = 40.0
MILLION = 1_000_000
GATEWAYS = 2
"""Each gateway process receives all events."""


@dataclass(frozen=True, slots=True)
class Order:
    """Operations of one order, from its cart until everything is settled."""

    read: int
    written: int
    deleted: int
    expired: int
    messages: int

    @property
    def dollars_per_million(self) -> float:
        datastore = self.read * READ + self.written * WRITE + (self.deleted + self.expired) * DELETE
        return datastore * MILLION / 100_000 + self.messages * 1_000 * MILLION / 2**40 * TIB


async def whole_order(itemid: str, *, waives_payment: bool) -> Order:
    saga = CountedSaga()
    messages = 0
    await saga.catalogue.put_item(itemid, 100, 8, waives_payment, False, 8)
    await saga.catalogue.get_item(itemid)  # A process that has served the item knows its shards.
    saga.tables.entities.clear()
    await saga.purchase.create_cart("c")
    await saga.purchase.add_item("c", itemid, 1, "x")
    await saga.purchase.close_cart("c")
    await saga.purchase.checkout("c")
    while published := await saga.published():
        for publisher, event in published:
            messages += 1 + len(await saga.deliver(publisher, event)) + GATEWAYS
    counted = saga.tables.entities
    expired = sum(EXPIRES_AT in entity for entity in stored(saga).values())
    return Order(counted["read"], counted["written"], counted["deleted"], expired, messages)


def stored(saga: CountedSaga) -> dict[Key, Entity]:
    """Return the entities that are stored in the end, which a TTL policy may delete."""
    entities: dict[Key, Entity] = {}
    for mutation in chain.from_iterable(saga.tables.committed):
        if isinstance(mutation, Delete):
            entities.pop(mutation.key, None)
        else:
            entities[mutation.key] = mutation.entity
    return entities


@pytest.mark.parametrize(("itemid", "waives_payment"), [("red", True), ("blue", False)])
async def test_documented_costs_are_the_counted_ones(itemid: str, waives_payment: bool):
    order = await whole_order(itemid, waives_payment=waives_payment)

    row = (itemid, order.read, order.written, order.deleted, order.expired, f"{order.messages} kB")
    shown = " | ".join(map(str, (*row, f"${order.dollars_per_million:.2f}")))
    assert f"| {shown} |" in (ROOT / "docs" / "deploy.md").read_text()
