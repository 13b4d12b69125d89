"""Orders that are called off: whatever crosses the cancellation, what was taken is given back."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace

import grpc
import pytest

from rpc import purchase_pb2 as pb
from sagakit.backends import Backend
from sagakit.errors import Unavailable
from sagakit.tables import Key, Mutation, Tables
from services.payment.simulated import Behaviour, tell
from services.payment.storage import payment_key
from tests.support.eventually import eventually
from tests.support.suite import Suite, running_suite


async def cancel(suite: Suite, orderid: str) -> pb.OrderTicket:
    return (await suite.purchase.CancelOrder(pb.CancelOrderRequest(orderid=orderid))).order_ticket


async def known_to(suite: Suite, kind: str, orderid: str) -> None:
    """Return once there is such an entity for the order."""

    async def is_there() -> bool:
        return bool(await suite.backend.tables.lookup([Key(kind, orderid)]))

    await eventually(is_there)


async def test_an_order_canceled_while_its_payment_is_slow_is_not_charged(
    backend_environ: Mapping[str, str],
):
    async with running_suite(backend_environ) as suite:
        await tell(suite.backend.tables, Behaviour(delay_seconds=1.5))
        ticket = await suite.order("c", blue=3)
        await suite.ticket_becomes(ticket.orderid, "reserved")

        canceled = await cancel(suite, ticket.orderid)

        assert (canceled.status, canceled.reason) == ("canceled", "client")
        assert await cancel(suite, ticket.orderid) == canceled
        await suite.balances()
        # The charge that was on its way is refused when it gets there.
        await eventually(lambda: is_canceled_at_the_provider(suite, ticket.orderid))
        await asyncio.sleep(2)
        await suite.balances()
        assert (await suite.item("blue")).available == 100_000
        assert await suite.history(ticket.orderid) == ["pre-approved", "reserved", "canceled"]


async def is_canceled_at_the_provider(suite: Suite, orderid: str) -> bool:
    key = Key("SimulatedCharge", orderid)
    row = (await suite.backend.tables.lookup([key])).get(key)
    return row is not None and row.entity["canceled"]


async def test_an_order_canceled_after_it_was_charged_gets_its_money_back(
    backend_environ: Mapping[str, str],
):
    """The provider has charged, its answer was lost, and the cancellation comes before it is asked again."""
    async with running_suite(backend_environ) as suite:
        await tell(suite.backend.tables, Behaviour(loses_answers=True))
        await suite.services.stop("purchase")
        # Purchase hears of no payment until the order is canceled: so it can be.
        await suite.services.start("purchase")
        ticket = await suite.order("c", blue=3)
        await known_to(suite, "SimulatedCharge", ticket.orderid)

        canceled = await canceled_or_approved(suite, ticket.orderid)

        await suite.balances(60)
        assert canceled.status in {"canceled", "approved"}


async def canceled_or_approved(suite: Suite, orderid: str) -> pb.OrderTicket:
    try:
        return await cancel(suite, orderid)
    except grpc.aio.AioRpcError as error:
        assert error.code() is grpc.StatusCode.FAILED_PRECONDITION
        return await suite.ticket(orderid)


async def test_an_approved_order_cannot_be_canceled_and_stays_as_it_is(backend_environ: Mapping[str, str]):
    async with running_suite(backend_environ) as suite:
        ticket = await suite.order("c", blue=3)
        await suite.ticket_becomes(ticket.orderid, "approved")
        await suite.balances()
        before = await suite.history(ticket.orderid)

        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await cancel(suite, ticket.orderid)

        assert refused.value.code() is grpc.StatusCode.FAILED_PRECONDITION
        assert "the order is approved" in refused.value.details()
        assert await suite.history(ticket.orderid) == before
        await suite.balances()


class HaltingTables:
    """Halts a service at the first commit that writes a kind: before it, or after it."""

    def __init__(self, tables: Tables, kind: str, *, after: bool) -> None:
        self._tables = tables
        self._kind = kind
        self._after = after
        self.halted = asyncio.Event()
        self.go_on = asyncio.Event()
        self.lookup = tables.lookup
        self.due = tables.due
        self.page = tables.page

    async def commit(self, mutations: "list[Mutation]") -> None:
        mine = any(mutation.key.kind == self._kind for mutation in mutations) and not self.halted.is_set()
        if mine and not self._after:
            await self._halt()
        await self._tables.commit(mutations)
        if mine and self._after:
            await self._halt()

    async def _halt(self) -> None:
        self.halted.set()
        await self.go_on.wait()


class DyingTables(HaltingTables):
    """… and what was about to go on never does: the process has died there."""

    async def _halt(self) -> None:
        self.halted.set()
        raise Unavailable("the process died")


class Halting:
    """Puts tables that halt between the payment service and its backend."""

    def __init__(self, tables: Callable[[Tables], HaltingTables]) -> None:
        self._make = tables
        self.tables: list[HaltingTables] = []

    def __call__(self, backend: Backend) -> Backend:
        self.tables.append(self._make(backend.tables))
        return replace(backend, tables=self.tables[-1])

    async def halted(self) -> None:
        await asyncio.wait(
            [asyncio.create_task(each.halted.wait()) for each in self.tables],
            return_when=asyncio.FIRST_COMPLETED,
        )

    def go_on(self) -> None:
        for each in self.tables:
            each.go_on.set()


# Points of a payment: the provider's books, then ours.
POINTS = [("SimulatedCharge", False), ("SimulatedCharge", True), ("Payment", False), ("Payment", True)]


@pytest.mark.parametrize(("kind", "after"), POINTS)
async def test_a_cancellation_that_crosses_the_charge_leaves_nothing_charged(
    kind, after, backend_environ: Mapping[str, str]
):
    """Wherever the charge is when the order is canceled, also where it goes on only afterwards."""
    halting = Halting(lambda tables: HaltingTables(tables, kind, after=after))
    async with running_suite(backend_environ, replicas=2, between=halting) as suite:
        ticket = await suite.order("c", blue=3)
        await halting.halted()
        await suite.ticket_becomes(ticket.orderid, "reserved")

        assert (await cancel(suite, ticket.orderid)).status == "canceled"

        await eventually(lambda: is_canceled_at_the_provider(suite, ticket.orderid), seconds=20)
        halting.go_on()
        await suite.balances(30)
        assert (await suite.charge(ticket.orderid)).status == "canceled"
        assert (await suite.item("blue")).available == 100_000


@pytest.mark.parametrize(("kind", "after"), POINTS)
@pytest.mark.parametrize("canceled", [False, True])
async def test_a_payment_process_that_dies_at_any_point_of_a_charge_charges_once_or_not_at_all(
    kind, after, canceled, backend_environ: Mapping[str, str]
):
    dying = Halting(lambda tables: DyingTables(tables, kind, after=after))
    async with running_suite(backend_environ, between=dying) as suite:
        ticket = await suite.order("c", blue=3)
        await dying.halted()
        end = "approved"
        if canceled:
            end = (await canceled_or_approved(suite, ticket.orderid)).status

        await suite.ticket_becomes(ticket.orderid, end, seconds=40)

        await suite.balances(40)
        entry = Key("SimulatedCharge", ticket.orderid)
        books = (await suite.backend.tables.lookup([entry]))[entry].entity
        kept = books["charged"] - books["refunded"]
        assert kept == (300 if end == "approved" else 0)


async def test_a_cancellation_that_overtakes_the_order_leaves_nothing_reserved(
    backend_environ: Mapping[str, str],
):
    async with running_suite(backend_environ, without=["stock", "payment"]) as suite:
        ticket = await suite.order("c", blue=3)

        await cancel(suite, ticket.orderid)
        await suite.services.start("stock")
        await suite.services.start("payment")

        for kind in ("Reservation", "Payment"):
            await known_to(suite, kind, ticket.orderid)
        await suite.balances()
        late = payment_key(ticket.orderid)
        assert (await suite.backend.tables.lookup([late]))[late].entity["status"] == "canceled"
