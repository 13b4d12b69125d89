"""Cancelled orders: stock and payment are compensated, whatever happens at the same time."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import grpc
import pytest

from contract.topology import TOPOLOGY
from rpc import purchase_pb2 as pb
from sagactl.inspect.audit import problems
from sagactl.inspect.records import load_records
from sagakit.backends import Backend, open_provisioner
from sagakit.bus import subscription_name
from sagakit.ctl.cli.provision import ensure_provisioned
from sagakit.errors import Unavailable
from sagakit.tables import Key, Mutation, Tables
from services.payment.storage import payment_key
from tests.support.eventually import eventually
from tests.support.suite import Suite, running_suite


async def cancel(suite: Suite, orderid: str) -> pb.OrderTicket:
    return (await suite.purchase.CancelOrder(pb.CancelOrderRequest(orderid=orderid))).order_ticket


async def exists(suite: Suite, kind: str, orderid: str) -> None:
    """Wait until the order has an entity of that kind."""

    async def found() -> bool:
        return bool(await suite.backend.tables.lookup([Key(kind, orderid)]))

    await eventually(found)


async def is_canceled_at_the_provider(suite: Suite, orderid: str) -> bool:
    key = Key("SimulatedCharge", orderid)
    row = (await suite.backend.tables.lookup([key])).get(key)
    return row is not None and row.entity["canceled"]


async def canceled_or_approved(suite: Suite, orderid: str) -> pb.OrderTicket:
    try:
        return await cancel(suite, orderid)
    except grpc.aio.AioRpcError as error:
        assert error.code() is grpc.StatusCode.FAILED_PRECONDITION
        return await suite.ticket(orderid)


class Halt:
    """Halts a process that commits an entity of a kind, before or after the commit."""

    def __init__(self, kind: str, number: int = 1, *, after: bool, dies: bool = False) -> None:
        """`number`: which of the commits, counted from 1; `dies`: the halted process never continues."""
        self.kind = kind
        self.number = number
        self.after = after
        self.dies = dies
        self.reached = asyncio.Event()
        self.proceed = asyncio.Event()

    def __call__(self, backend: Backend) -> Backend:
        return replace(backend, tables=HaltingTables(backend.tables, self))

    async def here(self) -> None:
        self.reached.set()
        if self.dies:
            raise Unavailable("the process died")
        await self.proceed.wait()


class HaltingTables:
    def __init__(self, tables: Tables, halt: Halt) -> None:
        self._tables = tables
        self._halt = halt
        self.lookup = tables.lookup
        self.due = tables.due
        self.page = tables.page
        self.expire = tables.expire

    async def commit(self, mutations: Sequence[Mutation]) -> None:
        kinds = {mutation.key.kind for mutation in mutations}
        self._halt.number -= self._halt.kind in kinds
        here = self._halt.kind in kinds and self._halt.number == 0
        if here and not self._halt.after:
            await self._halt.here()
        await self._tables.commit(mutations)
        if here and self._halt.after:
            await self._halt.here()


# Points of a payment: the intention, the provider's ledger, then the outcome.
POINTS = [
    ("Payment", 1, False),
    ("Payment", 1, True),
    ("SimulatedCharge", 1, False),
    ("SimulatedCharge", 1, True),
    ("Payment", 2, False),
    ("Payment", 2, True),
]


@pytest.mark.parametrize(("kind", "number", "after"), POINTS)
async def test_cancellation_during_a_charge_leaves_nothing_charged(
    kind, number, after, backend_environ: Mapping[str, str]
):
    """Wherever the charge is when the order is canceled, even if it only continues afterwards."""
    halt = Halt(kind, number, after=after)
    async with running_suite(backend_environ, replicas=2, between=halt) as suite:
        ticket = await suite.order("c", blue=3)
        await halt.reached.wait()
        await suite.ticket_becomes(ticket.orderid, "reserved")

        assert (await cancel(suite, ticket.orderid)).status == "canceled"

        await eventually(lambda: is_canceled_at_the_provider(suite, ticket.orderid), seconds=20)
        halt.proceed.set()
        await suite.balances(30)
        assert (await suite.charge(ticket.orderid)).status == "canceled"
        assert (await suite.item("blue")).available == 100_000


@pytest.mark.parametrize(("kind", "number", "after"), POINTS)
@pytest.mark.parametrize("canceled", [False, True])
async def test_payment_that_dies_during_a_charge_charges_once_or_never(
    kind, number, after, canceled, backend_environ: Mapping[str, str]
):
    death = Halt(kind, number, after=after, dies=True)
    async with running_suite(backend_environ, between=death) as suite:
        ticket = await suite.order("c", blue=3)
        await death.reached.wait()
        end = "approved"
        if canceled:
            end = (await canceled_or_approved(suite, ticket.orderid)).status

        await suite.ticket_becomes(ticket.orderid, end, seconds=40)

        await suite.balances(40)
        entry = Key("SimulatedCharge", ticket.orderid)
        ledger = (await suite.backend.tables.lookup([entry]))[entry].entity
        kept = ledger["charged"] - ledger["refunded"]
        assert kept == (300 if end == "approved" else 0)


async def test_cancellation_received_before_the_order_leaves_nothing_reserved(
    backend_environ: Mapping[str, str],
):
    async with running_suite(backend_environ, without=["stock", "payment"]) as suite:
        ticket = await suite.order("c", blue=3)

        await cancel(suite, ticket.orderid)
        await suite.services.start("stock")
        await suite.services.start("payment")

        for kind in ("Reservation", "Payment"):
            await exists(suite, kind, ticket.orderid)
        await suite.balances()
        late = payment_key(ticket.orderid)
        assert (await suite.backend.tables.lookup([late]))[late].entity["status"] == "canceled"


async def test_charge_is_refunded_although_payment_died_and_all_its_messages_were_lost(tmp_path: Path):
    """Payment charges and dies before its commit; the order is canceled; stock releases, so that it repeats
    nothing; and the broker loses what payment has not acknowledged: only its own record is left.
    """
    environ = {"BACKEND": "embedded", "EMBEDDED_FILE": str(tmp_path / "data.sqlite3")}
    charged = Halt("SimulatedCharge", after=True)
    # Longer than payment takes to stop (it drains for up to 13 s): it must not resume its charge before.
    patient = {**environ, "REMINDER_INTERVAL_SECONDS": "20"}
    async with running_suite(patient, between=charged) as suite:
        ticket = await suite.order("c", blue=3)
        await charged.reached.wait()
        await suite.services.stop("payment")

        await cancel(suite, ticket.orderid)
        await eventually(lambda: is_released(suite, ticket.orderid))
        async with open_provisioner(environ) as provisioner:
            for topic in TOPOLOGY.subscribed_topics("payment"):
                await provisioner.remove_subscription(subscription_name("payment", topic))
        await ensure_provisioned(TOPOLOGY, environ)
        unsettled = problems(await load_records(suite.backend.tables))
        await suite.services.start("payment")

        assert f"order {ticket.orderid}: it is canceled, but 300 was charged" in unsettled
        await suite.balances(60)
        charge = await suite.charge(ticket.orderid)
        assert (charge.status, charge.amount, charge.refunded) == ("canceled", 300, 300)


async def is_released(suite: Suite, orderid: str) -> bool:
    return (await suite.reservation(orderid)).status == "released"
