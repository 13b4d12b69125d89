"""The items for sale in a run, and the habits of customers and of the payment provider."""

import asyncio
from dataclasses import dataclass, replace
from random import Random

from rpc import stock_pb2
from sagactl.cli.stock import CATALOGUE, CatalogueItem
from sagakit.testing.world import World
from services.payment.simulated import FaultSettings, save_faults
from services.stock.inventory import MAX_SHARDS

PROVIDER_FAULTS = {
    "the provider is unavailable": FaultSettings(unavailable=True),
    "the provider is slow": FaultSettings(delay_seconds=3),
    "the provider is too slow": FaultSettings(delay_seconds=15),
    "the provider drops a response": FaultSettings(drop_responses=True),
}
"""By the names under which runs count them (`World.reached`)."""
PRICES = (100, 100, 100, 1, 0, 40_000, 1_000_000)
"""Of which the second last is above the payment limit if three units are bought, and the last always."""


@dataclass(frozen=True, slots=True)
class Habits:
    """Odds per call or customer, unless stated otherwise."""

    catalogue: tuple[CatalogueItem, ...] = CATALOGUE
    popularity: tuple[int, ...] = (10, 5, 1, 1)
    """Weights of its items."""
    max_items: int = 3
    """Different items in an order, at most; three orders in ten are for more than one."""
    repeated: float = 0.1
    """After a call a customer repeats one of the earlier calls."""
    canceled: float = 0.25
    """Customers who cancel their order."""
    abandoned: float = 0.0
    """Customers who never check out."""
    changes_per_minute: float = 0.0
    """How often the stock of an item grows, and now and then its number of shards."""
    provider_faults_per_minute: float = 0.0
    """How often the payment provider begins to behave badly, for half of that time on average."""

    def basket(self, random: Random) -> dict[str, int]:
        """Return what a customer buys: units by itemid."""
        chosen = random.choices(self.catalogue, self.popularity)
        if random.random() < 0.3:
            further = random.randint(0, self.max_items - 1)
            chosen += random.sample(self.catalogue, min(further, len(self.catalogue)))
        return {item.itemid: random.randint(1, 3) for item in chosen}

    def __str__(self) -> str:
        items = " ".join(
            f"{each.itemid}:{each.stock}x{each.price}/{each.shards}{' free' * each.waives_payment}"
            for each in self.catalogue
        )
        return (
            f"for sale (units x price / shards): {items}; items an order {self.max_items}, repeated "
            f"{self.repeated}, canceled {self.canceled}, abandoned {self.abandoned}, "
            f"stock changes a minute {self.changes_per_minute}, "
            f"provider faults a minute {self.provider_faults_per_minute}"
        )


USUAL = Habits()


def drawn_habits(random: Random) -> Habits:
    """Return what is for sale and done in a run."""
    items = random.choice([1, 4, 4, 10])
    usual = CatalogueItem("item-0", 100, 100_000, shards=random.choice([1, 2, 8]))
    others = tuple(_drawn_item(f"item-{number}", random) for number in range(1, items))
    return Habits(
        (usual, *others),
        (random.choice([2, 10]), *(1 for _ in others)),
        random.choice([1, 3, 3, 8]),
        random.choice([0.02, 0.1, 0.4]),
        random.choice([0.0, 0.25, 0.25, 0.9]),
        random.choice([0, 0.05]),
        random.choice([0, 0, 2, 20]),
        random.choice([0, 0, 1, 4]),
    )


def _drawn_item(itemid: str, random: Random) -> CatalogueItem:
    return CatalogueItem(
        itemid,
        random.choice(PRICES),
        random.choice([0, 10, 40, 100_000]),
        waives_payment=random.random() < 0.2,
        shards=random.choice([1, 1, 2, 8]),
    )


class Shopkeeper:
    """Puts items up for sale, changes them during the run, and has the payment provider fail."""

    def __init__(self, world: World, habits: Habits) -> None:
        self._world = world
        self._habits = habits

    async def offer(self) -> None:
        """Put up everything for sale; of no item are there more units than customers of average need."""
        for item in self._habits.catalogue:
            stock = min(item.stock, 2 * self._world.sagas // 3)
            await self._put(replace(item, stock=stock), only_if_absent=True)

    async def change_items(self) -> None:
        """Add units and shards to items at times."""
        random, items = self._world.random, list(self._habits.catalogue)
        most = 2 * self._world.sagas // 3
        items = [replace(item, stock=min(item.stock, most)) for item in items]
        while rate := self._habits.changes_per_minute:
            await asyncio.sleep(random.expovariate(rate / 60))
            number = random.randrange(len(items))
            shards = min(MAX_SHARDS, items[number].shards + (random.random() < 0.5))
            items[number] = replace(items[number], stock=items[number].stock + 1, shards=shards)
            await self._put(items[number])

    async def disturb_provider(self) -> None:
        """Let the provider fail at times; at the end it behaves."""
        random = self._world.random
        try:
            while rate := self._habits.provider_faults_per_minute:
                await asyncio.sleep(random.expovariate(rate / 60))
                name, faults = random.choice([*PROVIDER_FAULTS.items()])
                await self._set(faults)
                self._world.reached[name] += 1
                self._world.tell("provider", f"behaves badly: {faults}")
                await asyncio.sleep(random.expovariate(2 * rate / 60))
                await self._set(FaultSettings())
        finally:
            await self._set(FaultSettings())

    async def _set(self, faults: FaultSettings) -> None:
        await save_faults(self._world.tables, faults)

    async def _put(self, item: CatalogueItem, *, only_if_absent: bool = False) -> None:
        request = stock_pb2.PutItemRequest(
            itemid=item.itemid,
            price=item.price,
            stock=item.stock,
            waives_payment=item.waives_payment,
            only_if_absent=only_if_absent,
            shards=item.shards,
        )
        await self._world.call("stock", "PutItem", request)
