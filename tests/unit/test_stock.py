"""Stock's steps: an order is decided about once, and what it was given is sold or comes back."""

import asyncio
from collections.abc import Mapping

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
from sagakit.errors import FailedPrecondition, NotFound
from sagakit.tables import DUE, Entity, Key, Tables, Update
from services.stock.catalogue import MAX_ITEMS, Catalogue
from services.stock.inventory import RELEASED, SOLD, Shard, home_shard
from services.stock.shards import ShardHints
from services.stock.storage import CATALOGUE, RESERVATION, SHARD, catalogue_entity
from services.stock.usecases import UseCases
from tests.support.clock import impatient
from tests.support.tables import CountedTables, MemoryTables
from tests.support.usecases import OUTBOX, REMINDERS, over, said


def a_ticket(status: str, count: int = 3, itemid: str = "blue", orderid: str = "o") -> TicketMessage:
    return TicketMessage(orderid, status, (CartItem(itemid, count),))


def a_process(tables: Tables) -> tuple[UseCases, Catalogue]:
    """A process of the service, which has seen nothing yet."""
    shard_hints, runtime = ShardHints(), impatient()
    return (
        over(tables, UseCases, REMINDERS, shard_hints, runtime=runtime),
        over(tables, lambda store, *_: Catalogue(store, shard_hints), runtime=runtime),
    )


class Bench:
    """Stock with ten pieces of blue in one shard, as one process sees it."""

    def __init__(self) -> None:
        self.tables = MemoryTables()
        self.stock, self.catalogue = a_process(self.tables)

    async def put(self, itemid: str = "blue", stock: int = 10, price: int = 100, **facts) -> None:
        facts = {"waives_payment": False, "only_if_absent": False, "shards": 0, **facts}
        await self.catalogue.put_item(itemid, price, stock, **facts)

    async def units(self, itemid: str = "blue") -> Shard:
        return (await self.catalogue.get_item(itemid)).units

    async def status(self) -> str:
        return (await self.stock.get_reservation("o")).status

    @property
    def said(self) -> list[str]:
        return [message.status for message in said(self.tables.rows)]

    @property
    def reservation(self) -> Entity:
        return self.tables.rows[Key(RESERVATION, "o")].entity


@pytest.fixture
async def bench() -> Bench:
    bench = Bench()
    await bench.put()
    return bench


async def test_an_order_is_given_its_pieces_once_however_often_its_event_comes(bench: Bench):
    outcomes = [await bench.stock.reserve("e1", a_ticket(PRE_APPROVED)) for _ in range(3)]

    assert outcomes == [Outcome.APPLIED, Outcome.DUPLICATE, Outcome.DUPLICATE]
    assert await bench.units() == Shard(available=7, reserved=3)
    (message,) = said(bench.tables.rows)
    assert (message.status, message.amount, message.cart_items) == (RESERVED, 300, (CartItem("blue", 3),))


async def test_asked_again_it_repeats_its_first_answer_whatever_the_price_is_now(bench: Bench):
    await bench.stock.reserve("e1", a_ticket(PRE_APPROVED))
    await bench.put(price=999)

    await bench.stock.reserve("e2", a_ticket(PRE_APPROVED))

    assert [(message.status, message.amount) for message in said(bench.tables.rows)] == [(RESERVED, 300)] * 2
    assert await bench.units() == Shard(available=7, reserved=3)


async def test_a_refusal_is_remembered_whatever_there_is_now(bench: Bench):
    await bench.stock.reserve("e1", a_ticket(PRE_APPROVED, count=11))
    await bench.put(stock=100)

    await bench.stock.reserve("e2", a_ticket(PRE_APPROVED, count=11))

    answers = [(message.status, message.reason) for message in said(bench.tables.rows)]
    assert answers == [(RESERVE_FAILED, "sold-out: blue")] * 2
    assert await bench.units() == Shard(available=100)


async def test_an_order_that_waives_payment_is_said_to_be_paid_and_costs_nothing(bench: Bench):
    await bench.put("red", waives_payment=True)

    await bench.stock.reserve("e1", a_ticket(PRE_APPROVED, itemid="red"))

    (message,) = said(bench.tables.rows)
    assert (message.status, message.amount) == (PAID, None)


async def test_a_cancellation_that_comes_first_leaves_a_tombstone(bench: Bench):
    """Trap: a late order takes what nobody will ever give back."""
    first = await bench.stock.release("e1", a_ticket(CANCELED))

    late = await bench.stock.reserve("e2", a_ticket(PRE_APPROVED))

    assert (first, late) == (Outcome.APPLIED, Outcome.IGNORED)
    assert (await bench.status(), bench.said) == (RELEASED, [])
    assert await bench.units() == Shard(available=10)


async def test_an_approval_of_an_order_that_was_never_reserved_changes_nothing(bench: Bench):
    before = bench.tables.rows

    outcome = await bench.stock.sell("e1", a_ticket(APPROVED))

    assert outcome is Outcome.IGNORED
    assert bench.tables.rows == before


@pytest.mark.parametrize(
    ("end", "status", "units"),
    [("sell", SOLD, Shard(available=7, sold=3)), ("release", RELEASED, Shard(available=10))],
)
async def test_a_reservation_ends_once_and_answers_nothing_from_then_on(bench: Bench, end, status, units):
    await bench.stock.reserve("e1", a_ticket(PRE_APPROVED))

    outcomes = [await getattr(bench.stock, end)(eventid, a_ticket(status)) for eventid in ("e2", "e2", "e3")]
    late = [
        await bench.stock.sell("e4", a_ticket(APPROVED)),
        await bench.stock.release("e5", a_ticket(CANCELED)),
        await bench.stock.reserve("e6", a_ticket(PRE_APPROVED)),
    ]

    assert outcomes == [Outcome.APPLIED, Outcome.IGNORED, Outcome.IGNORED]
    assert late == [Outcome.IGNORED] * 3
    assert (await bench.status(), bench.said) == (status, [RESERVED])
    assert await bench.units() == units


async def test_a_reservation_waits_until_it_is_sold_or_released_and_a_refusal_does_not(bench: Bench):
    await bench.stock.reserve("e1", a_ticket(PRE_APPROVED))
    reserved = DUE in bench.reservation
    await bench.stock.sell("e2", a_ticket(APPROVED))
    settled = DUE in bench.reservation
    await bench.stock.reserve("e3", a_ticket(PRE_APPROVED, count=99, orderid="other"))
    refused = DUE in bench.tables.rows[Key(RESERVATION, "other")].entity

    assert (reserved, settled, refused) == (True, False, False)


@pytest.mark.parametrize(("waives_payment", "answer"), [(False, (RESERVED, 300)), (True, (PAID, None))])
async def test_a_reservation_that_waits_repeats_its_answer_marked_and_later_each_time(
    bench: Bench, waives_payment, answer
):
    await bench.put(stock=11, waives_payment=waives_payment)
    await bench.stock.reserve("e1", a_ticket(PRE_APPROVED))

    once = bench.stock.remind("o", bench.reservation, bench.reservation["time"], "r1")
    (waits,) = once.writes.values()
    twice = bench.stock.remind("o", waits, bench.reservation["time"], "r2")

    assert once.result
    (event,) = once.events
    message = TicketMessage.from_event(event)
    assert (message.status, message.amount, event.eventid) == (*answer, "r1")
    assert event.attributes[REMINDER_ATTRIBUTE] == "true"
    assert [waits["repeats"] for changes in (once, twice) for waits in changes.writes.values()] == [1, 2]
    assert waits[DUE] > bench.reservation[DUE]


async def test_an_answer_to_whoever_asks_is_not_marked_as_said_again(bench: Bench):
    """Only who waits marks what it says: purchase would have to answer what was asked for by itself."""
    await bench.stock.reserve("e1", a_ticket(PRE_APPROVED))
    await bench.stock.reserve("e2", a_ticket(PRE_APPROVED))

    rows = [row.entity for key, row in bench.tables.rows.items() if key.kind == OUTBOX]
    assert [set(row["attributes"]) for row in rows] == [{"time"}, {"time"}]


async def test_an_order_takes_of_several_shards_and_gives_back_to_each_what_it_took(bench: Bench):
    await bench.put("hot", stock=8, shards=4)
    whole = shards(bench.tables.rows)

    await bench.stock.reserve("e1", a_ticket(PRE_APPROVED, count=5, itemid="hot"))
    taken = shards(bench.tables.rows)
    another, _ = a_process(bench.tables)
    await another.release("e2", a_ticket(CANCELED, itemid="hot"))

    assert sorted(shard.reserved for shard in taken) == [0, 1, 2, 2]
    assert shards(bench.tables.rows) == whole == [Shard(2)] * 4


def shards(rows: Mapping) -> list[Shard]:
    mine = sorted(
        (key.name, row.entity) for key, row in rows.items() if key.kind == SHARD and "hot" in key.name
    )
    return [Shard(**entity) for _, entity in mine]


async def test_a_process_that_knows_of_fewer_shards_still_finds_all_the_pieces(bench: Bench):
    await bench.put("hot", stock=4)
    outdated, catalogue = a_process(bench.tables)
    await catalogue.get_item("hot")
    await bench.put("hot", stock=8, shards=8)

    outcome = await outdated.reserve("e1", a_ticket(PRE_APPROVED, count=8, itemid="hot"))

    assert (outcome, bench.said) == (Outcome.APPLIED, [RESERVED])
    assert await bench.units("hot") == Shard(reserved=8)


async def test_the_first_order_for_an_item_tells_where_its_shards_are(bench: Bench):
    await bench.put("hot", stock=80, shards=8)
    stock, _ = a_process(tables := CountedTables(bench.tables))
    for number in range(16):
        await stock.reserve(f"e{number}", a_ticket(PRE_APPROVED, 1, "hot", f"o{number}"))

    written = [each.key.name for commit in tables.committed for each in commit if each.key.kind == SHARD]
    assert written == ["hot:0", *(f"hot:{home_shard(f'o{number}', 8)}" for number in range(1, 16))]


@pytest.mark.parametrize("facts", [{"only_if_absent": True}, {"price": 7}, {"stock": 9}])
async def test_a_process_that_has_seen_nothing_of_an_item_puts_it_with_all_its_pieces(bench: Bench, facts):
    await bench.put("hot", stock=8, shards=8)
    for number in range(8):
        await bench.stock.reserve(f"e{number}", a_ticket(PRE_APPROVED, 1, "hot", f"o{number}"))
    _, catalogue = a_process(bench.tables)
    facts = {"price": 100, "stock": 8, "waives_payment": False, "only_if_absent": False, "shards": 0, **facts}

    answer = await catalogue.put_item("hot", **facts)

    assert answer.units == await bench.units("hot") == Shard(available=facts["stock"] - 8, reserved=8)
    assert answer.item.shards == 8
    with pytest.raises(FailedPrecondition) as refused:
        await a_process(bench.tables)[1].put_item("hot", **{**facts, "stock": 7, "only_if_absent": False})
    assert refused.value.reason == "stock-below-taken"


async def test_the_catalogue_holds_so_many_items_and_those_it_has_can_still_be_put(bench: Bench):
    full = tuple(f"item-{number:04}" for number in range(MAX_ITEMS - 1))
    row = bench.tables.rows[CATALOGUE]
    await bench.tables.commit([Update(CATALOGUE, catalogue_entity((*full, "blue")), row.version)])

    with pytest.raises(FailedPrecondition) as refused:
        await bench.put("one-too-many")
    await bench.put("blue", stock=11)

    assert refused.value.reason == "catalogue-full"
    assert await bench.units() == Shard(available=11)
    with pytest.raises(NotFound):
        await bench.units("one-too-many")


async def test_items_are_listed_from_wherever_one_says(bench: Bench):
    for itemid in ("red", "gold"):
        await bench.put(itemid)

    pages = [await bench.catalogue.list_items(2, token) for token in ("", "gold", "h", "red", "z")]

    assert [([stocked.item.itemid for stocked in items], token) for items, token in pages] == [
        (["blue", "gold"], "gold"),
        (["red"], ""),
        (["red"], ""),
        ([], ""),
        ([], ""),
    ]


async def test_a_refusal_for_one_item_takes_nothing_of_the_others(bench: Bench):
    await bench.put("hot", stock=8, shards=8)
    ticket = TicketMessage("o", PRE_APPROVED, (CartItem("blue", 1), CartItem("hot", 9)))
    before = {key: row for key, row in bench.tables.rows.items() if key.kind == SHARD}

    await bench.stock.reserve("e1", ticket)

    assert bench.said == [RESERVE_FAILED]
    assert {key: row for key, row in bench.tables.rows.items() if key.kind == SHARD} == before


async def test_orders_of_several_processes_get_every_piece_and_no_piece_twice(bench: Bench):
    """Trap: stock read outside the transaction that writes it (oversell)."""
    await bench.put("hot", stock=10, shards=4)
    processes = [a_process(bench.tables)[0] for _ in range(2)]

    await asyncio.gather(
        *(
            processes[number % 2].reserve(f"e{number}", a_ticket(PRE_APPROVED, 1, "hot", f"o{number}"))
            for number in range(16)
        )
    )

    assert sorted(bench.said) == [RESERVE_FAILED] * 6 + [RESERVED] * 10
    assert await bench.units("hot") == Shard(reserved=10)


async def test_an_item_that_is_put_while_orders_come_still_adds_up(bench: Bench):
    """Trap: the available pieces are spread anew over what an order has just taken from."""
    stock, _ = a_process(bench.tables)
    _, catalogue = a_process(bench.tables)
    facts = {"waives_payment": False, "only_if_absent": False}

    await asyncio.gather(
        *(stock.reserve(f"e{n}", a_ticket(PRE_APPROVED, 1, orderid=f"o{n}")) for n in range(8)),
        *(catalogue.put_item("blue", 100, 20 + n, shards=1 + n, **facts) for n in range(4)),
        return_exceptions=True,
    )

    item = await catalogue.get_item("blue")
    assert item.item.stock >= 20
    assert item.units == Shard(available=item.item.stock - 8, reserved=8)


async def test_an_order_looks_first_where_its_orderid_says(bench: Bench):
    await bench.put("hot", stock=80, shards=8)
    tables = CountedTables(bench.tables)
    stock, catalogue = a_process(tables)
    await catalogue.get_item("hot")

    for number in range(16):
        await stock.reserve(f"e{number}", a_ticket(PRE_APPROVED, 1, "hot", f"o{number}"))

    written = [each.key.name for commit in tables.committed for each in commit if each.key.kind == SHARD]
    assert written == [f"hot:{home_shard(f'o{number}', 8)}" for number in range(16)]


async def test_what_nothing_was_decided_about_is_not_found(bench: Bench):
    with pytest.raises(NotFound):
        await bench.stock.get_reservation("o")
    with pytest.raises(NotFound):
        await bench.catalogue.get_item("purple")
