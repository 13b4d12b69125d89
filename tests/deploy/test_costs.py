"""What a million orders cost, as docs/deploy.md says it: operations counted, times Google's list prices."""

from dataclasses import dataclass
from itertools import chain

import pytest

from contract.topology import LISTENS_TO
from sagakit.tables import EXPIRES_AT, Delete, Entity, Key
from tests.service.test_cost import Walk
from tests.support.manifests import ROOT

# us-central1, Standard edition (https://cloud.google.com/datastore/pricing), for 100,000 entities each.
READ, WRITE, DELETE = 0.03, 0.09, 0.01
# https://cloud.google.com/pubsub/pricing: for a TiB in or out; a message counts for 1 kB at least.
TIB = 40.0
MILLION = 1_000_000
GATEWAYS = 2
"""Each gateway process hears everything."""


@dataclass(frozen=True, slots=True)
class Order:
    """What one order takes, from its cart until nothing of it is open."""

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
    walk = Walk()
    messages = 0
    await walk.catalogue.put_item(itemid, 100, 8, waives_payment, False, 8)
    walk.meter.entities.clear()
    await walk.purchase.create_cart("c")
    await walk.purchase.add_item("c", itemid, 1, "x")
    await walk.purchase.close_cart("c")
    await walk.purchase.checkout("c")
    while waiting := await walk.published():
        for publisher, event in waiting:
            hearing = [service for service, heard in LISTENS_TO.items() if publisher in heard]
            messages += 1 + len(hearing) + GATEWAYS
            for service in hearing:
                await walk.handlers[service][event.type](event)
    counted = walk.meter.entities
    expired = sum(EXPIRES_AT in entity for entity in written_last(walk).values())
    return Order(counted["read"], counted["written"], counted["deleted"], expired, messages)


def written_last(walk: Walk) -> dict[Key, Entity]:
    """What is there in the end, for a TTL policy to look at."""
    there: dict[Key, Entity] = {}
    for mutation in chain.from_iterable(walk.meter.committed):
        if isinstance(mutation, Delete):
            there.pop(mutation.key, None)
        else:
            there[mutation.key] = mutation.entity
    return there


@pytest.mark.parametrize(("itemid", "waives_payment"), [("red", True), ("blue", False)])
async def test_the_documentation_says_what_an_order_costs(itemid: str, waives_payment: bool):
    order = await whole_order(itemid, waives_payment=waives_payment)

    row = (itemid, order.read, order.written, order.deleted, order.expired, f"{order.messages} kB")
    said = " | ".join(map(str, (*row, f"${order.dollars_per_million:.2f}")))
    assert f"| {said} |" in (ROOT / "docs" / "deploy.md").read_text()
