"""Stock's use cases over tables in memory."""

from contract.tickets import (
    PRE_APPROVED,
    CartItem,
    TicketMessage,
)
from sagakit.tables import Entity, Key, Row, Tables
from services.stock.catalogue import Catalogue
from services.stock.inventory import Shard, StockLevel
from services.stock.shards import ShardHints
from services.stock.storage import RESERVATION, SHARD
from services.stock.usecases import UseCases
from tests.support.usecases import REMINDERS, Harness

FACTS = {"price": 100, "waives_payment": False, "only_if_absent": False, "shards": 0}


def a_ticket(status: str, count: int = 3, itemid: str = "blue", orderid: str = "o") -> TicketMessage:
    return TicketMessage(orderid, status, (CartItem(itemid, count),))


class StockHarness(Harness):
    """Stock with 10 blue in one shard."""

    def __init__(self) -> None:
        super().__init__()
        self.stock, self.catalogue = self.process()

    def process(self, tables: Tables | None = None) -> tuple[UseCases, Catalogue]:
        """Return the use cases of one more process, which has read nothing yet."""
        hints = ShardHints()
        return (
            self.use_cases(UseCases, REMINDERS, hints, tables=tables),
            self.use_cases(lambda store, *_: Catalogue(store, hints), tables=tables),
        )

    async def put(self, itemid: str = "blue", stock: int = 10, **facts) -> StockLevel:
        return await self.catalogue.put_item(itemid, stock=stock, **{**FACTS, **facts})

    async def reserve_each(self, orders: int, by: UseCases | None = None) -> None:
        """Reserve one "hot" for each of the orders o0, o1, …"""
        for number in range(orders):
            await (by or self.stock).reserve(f"e{number}", a_ticket(PRE_APPROVED, 1, "hot", f"o{number}"))

    async def units(self, itemid: str = "blue") -> Shard:
        return (await self.catalogue.get_item(itemid)).units

    async def status(self) -> str:
        return (await self.stock.get_reservation("o")).status

    @property
    def shards(self) -> dict[Key, Row]:
        return {key: row for key, row in self.tables.rows.items() if key.kind == SHARD}

    def reservation(self, orderid: str = "o") -> Entity:
        return self.tables.rows[Key(RESERVATION, orderid)].entity
