"""Stock's transactions: each order is decided once; its reservation is sold or released."""

import asyncio
from dataclasses import replace

import pytest

from contract.tickets import (
    APPROVED,
    CANCELED,
    PAID,
    PRE_APPROVED,
    REMINDER_ATTRIBUTE,
    RESERVE_FAILED,
    RESERVED,
    CartItem,
    TicketMessage,
)
from sagakit.consumer import Outcome
from sagakit.errors import FailedPrecondition, NotFound, Poison
from sagakit.tables import DUE, Entity, Key, Row, Tables, Update
from services.stock.catalogue import MAX_ITEMS, Catalogue
from services.stock.inventory import RELEASED, SOLD, Shard, StockLevel, home_shard
from services.stock.shards import ShardHints
from services.stock.storage import CATALOGUE, RESERVATION, SHARD
from services.stock.usecases import UseCases
from tests.support.tables import CountedTables
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


@pytest.fixture
async def shop() -> StockHarness:
    shop = StockHarness()
    await shop.put()
    return shop


async def test_redelivered_order_is_reserved_once(shop: StockHarness):
    outcomes = [await shop.stock.reserve("e1", a_ticket(PRE_APPROVED)) for _ in range(3)]

    assert outcomes == [Outcome.APPLIED, Outcome.DUPLICATE, Outcome.DUPLICATE]
    assert await shop.units() == Shard(available=7, reserved=3)
    assert shop.published == [TicketMessage("o", RESERVED, (CartItem("blue", 3),), 300)]


async def test_repeated_request_gets_the_first_reply(shop: StockHarness):
    """Trap: a duplicate taken for a failure, so that a good order is rolled back."""
    await shop.put(stock=3)
    await shop.stock.reserve("e1", a_ticket(PRE_APPROVED))
    await shop.put(stock=3, price=999)

    outcome = await shop.stock.reserve("e2", a_ticket(PRE_APPROVED))

    assert outcome is Outcome.APPLIED
    assert [(ticket.status, ticket.amount) for ticket in shop.published] == [(RESERVED, 300)] * 2
    assert await shop.units() == Shard(reserved=3)
    # Only reminders have the attribute: purchase would have to answer them.
    assert [set(each) for each in shop.attributes] == [{"time"}, {"time"}]


async def test_rejection_is_stored_and_repeated(shop: StockHarness):
    await shop.stock.reserve("e1", a_ticket(PRE_APPROVED, count=11))
    await shop.put(stock=100)

    await shop.stock.reserve("e2", a_ticket(PRE_APPROVED, count=11))

    replies = [(ticket.status, ticket.reason) for ticket in shop.published]
    assert replies == [(RESERVE_FAILED, "sold-out: blue")] * 2
    assert await shop.units() == Shard(available=100)


async def test_cancellation_before_the_order_leaves_a_tombstone(shop: StockHarness):
    """Trap: a late order reserves units that are never released."""
    first = await shop.stock.release("e1", a_ticket(CANCELED))

    late = await shop.stock.reserve("e2", a_ticket(PRE_APPROVED))

    assert (first, late) == (Outcome.APPLIED, Outcome.IGNORED)
    assert (await shop.status(), shop.statuses) == (RELEASED, [])
    assert await shop.units() == Shard(available=10)


async def test_approval_without_a_reservation_changes_nothing(shop: StockHarness):
    before = shop.tables.rows

    outcome = await shop.stock.sell("e1", a_ticket(APPROVED))

    assert outcome is Outcome.IGNORED
    assert shop.tables.rows == before


@pytest.mark.parametrize("approved", [a_ticket(APPROVED, 99), replace(a_ticket(APPROVED), amount=1)])
async def test_approval_of_other_than_what_was_reserved_is_a_dead_letter(shop: StockHarness, approved):
    await shop.stock.reserve("e1", a_ticket(PRE_APPROVED))

    with pytest.raises(Poison, match="contradicts-record"):
        await shop.stock.sell("e2", approved)

    assert await shop.units() == Shard(available=7, reserved=3)


async def test_reservation_is_released_whatever_the_event_lists(shop: StockHarness):
    await shop.stock.reserve("e1", a_ticket(PRE_APPROVED))

    await shop.stock.release("e2", a_ticket(CANCELED, 99))

    assert await shop.units() == Shard(available=10)


@pytest.mark.parametrize(
    ("end", "status", "units"),
    [("sell", SOLD, Shard(available=7, sold=3)), ("release", RELEASED, Shard(available=10))],
)
async def test_reservation_is_settled_once_and_replies_no_more(shop: StockHarness, end, status, units):
    await shop.stock.reserve("e1", a_ticket(PRE_APPROVED))

    outcomes = [await getattr(shop.stock, end)(eventid, a_ticket(status)) for eventid in ("e2", "e2", "e3")]
    late = [
        await shop.stock.sell("e4", a_ticket(APPROVED)),
        await shop.stock.release("e5", a_ticket(CANCELED)),
        await shop.stock.reserve("e6", a_ticket(PRE_APPROVED)),
    ]

    assert outcomes == [Outcome.APPLIED, Outcome.IGNORED, Outcome.IGNORED]
    assert late == [Outcome.IGNORED] * 3
    assert (await shop.status(), shop.statuses) == (status, [RESERVED])
    assert await shop.units() == units


async def test_only_an_open_reservation_is_due(shop: StockHarness):
    await shop.stock.reserve("e1", a_ticket(PRE_APPROVED))
    reserved = DUE in shop.reservation()
    await shop.stock.sell("e2", a_ticket(APPROVED))
    await shop.stock.reserve("e3", a_ticket(PRE_APPROVED, count=99, orderid="rejected"))

    assert reserved
    assert DUE not in shop.reservation()
    assert DUE not in shop.reservation("rejected")


@pytest.mark.parametrize(("waives_payment", "reply"), [(False, (RESERVED, 300)), (True, (PAID, None))])
async def test_reminder_repeats_the_reply_with_growing_intervals(shop: StockHarness, waives_payment, reply):
    await shop.put(stock=11, waives_payment=waives_payment)
    await shop.stock.reserve("e1", a_ticket(PRE_APPROVED))
    before = shop.reservation()

    once = shop.stock.remind("o", before, before["time"], "r1")
    (after,) = once.writes.values()
    twice = shop.stock.remind("o", after, before["time"], "r2")

    assert once.result
    (event,) = once.events
    ticket = TicketMessage.from_event(event)
    assert (ticket.status, ticket.amount, event.eventid) == (*reply, "r1")
    assert event.attributes[REMINDER_ATTRIBUTE] == "true"
    assert [each["repeats"] for changes in (once, twice) for each in changes.writes.values()] == [1, 2]
    assert after[DUE] > before[DUE]


async def test_release_returns_units_to_the_shards_they_came_from(shop: StockHarness):
    await shop.put("hot", stock=8, shards=4)
    before = [row.entity for key, row in shop.shards.items() if "hot" in key.name]

    await shop.stock.reserve("e1", a_ticket(PRE_APPROVED, count=5, itemid="hot"))
    reserved = [row.entity["reserved"] for key, row in shop.shards.items() if "hot" in key.name]
    another, _ = shop.process()
    await another.release("e2", a_ticket(CANCELED, itemid="hot"))

    assert sorted(reserved) == [0, 1, 2, 2]
    assert [row.entity for key, row in shop.shards.items() if "hot" in key.name] == before


async def test_process_with_outdated_shard_hints_finds_all_units(shop: StockHarness):
    await shop.put("hot", stock=4)
    outdated, catalogue = shop.process()
    await catalogue.get_item("hot")
    await shop.put("hot", stock=8, shards=8)

    outcome = await outdated.reserve("e1", a_ticket(PRE_APPROVED, count=8, itemid="hot"))

    assert (outcome, shop.statuses) == (Outcome.APPLIED, [RESERVED])
    assert await shop.units("hot") == Shard(reserved=8)


@pytest.mark.parametrize("read_before", [True, False])
async def test_order_tries_its_home_shard_first(shop: StockHarness, read_before):
    """A process learns the shards from the first order, if it has not read the item before."""
    await shop.put("hot", stock=80, shards=8)
    tables = CountedTables(shop.tables)
    stock, catalogue = shop.process(tables)
    if read_before:
        await catalogue.get_item("hot")

    await shop.reserve_each(16, by=stock)

    written = [each.key.name for commit in tables.committed for each in commit if each.key.kind == SHARD]
    homes = [f"hot:{home_shard(f'o{number}', 8)}" for number in range(16)]
    assert written == (homes if read_before else ["hot:0", *homes[1:]])


@pytest.mark.parametrize("change", [{"only_if_absent": True}, {"price": 7}, {"stock": 9}])
async def test_process_without_shard_hints_puts_an_item_with_all_its_units(shop: StockHarness, change):
    await shop.put("hot", stock=8, shards=8)
    await shop.reserve_each(8)
    facts = {**FACTS, "stock": 8, **change}

    changed = await shop.process()[1].put_item("hot", **facts)

    assert changed.units == await shop.units("hot") == Shard(available=facts["stock"] - 8, reserved=8)
    assert changed.item.shards == 8
    with pytest.raises(FailedPrecondition) as rejected:
        await shop.process()[1].put_item("hot", **{**facts, "stock": 7, "only_if_absent": False})
    assert rejected.value.reason == "stock-below-taken"


async def test_full_catalogue_takes_changes_but_no_new_items(shop: StockHarness):
    full = tuple(f"item-{number:04}" for number in range(MAX_ITEMS - 1))
    row = shop.tables.rows[CATALOGUE]
    await shop.tables.commit([Update(CATALOGUE, {"itemids": [*full, "blue"]}, row.version)])

    with pytest.raises(FailedPrecondition) as rejected:
        await shop.put("one-too-many")
    await shop.put("blue", stock=11)

    assert rejected.value.reason == "catalogue-full"
    assert await shop.units() == Shard(available=11)
    with pytest.raises(NotFound):
        await shop.units("one-too-many")


async def test_items_are_listed_after_any_page_token(shop: StockHarness):
    for itemid in ("red", "gold"):
        await shop.put(itemid)

    pages = [await shop.catalogue.list_items(2, token) for token in ("", "gold", "h", "red", "z")]

    assert [([each.item.itemid for each in items], token) for items, token in pages] == [
        (["blue", "gold"], "gold"),
        (["red"], ""),
        (["red"], ""),
        ([], ""),
        ([], ""),
    ]


async def test_concurrent_orders_reserve_every_unit_once(shop: StockHarness):
    """Trap: stock read outside the transaction that writes it (oversell)."""
    await shop.put("hot", stock=10, shards=4)
    processes = [shop.process()[0] for _ in range(2)]

    await asyncio.gather(
        *(
            processes[number % 2].reserve(f"e{number}", a_ticket(PRE_APPROVED, 1, "hot", f"o{number}"))
            for number in range(16)
        )
    )

    assert sorted(shop.statuses) == [RESERVE_FAILED] * 6 + [RESERVED] * 10
    assert await shop.units("hot") == Shard(reserved=10)


async def test_item_changed_during_orders_still_adds_up(shop: StockHarness):
    """Trap: available units spread again, over a shard from which an order has just reserved."""
    stock, _ = shop.process()
    _, catalogue = shop.process()

    await asyncio.gather(
        *(stock.reserve(f"e{n}", a_ticket(PRE_APPROVED, 1, orderid=f"o{n}")) for n in range(8)),
        *(catalogue.put_item("blue", stock=20 + n, **{**FACTS, "shards": 1 + n}) for n in range(4)),
        return_exceptions=True,
    )

    level = await catalogue.get_item("blue")
    assert level.item.stock >= 20
    assert level.units == Shard(available=level.item.stock - 8, reserved=8)
