"""Outages of backends: callers get UNAVAILABLE, and services recover automatically."""

import asyncio
import os
import uuid
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import grpc
import pytest

from contract.topology import TOPOLOGY
from rpc import purchase_pb2 as pb
from rpc import stock_pb2 as stock_pb
from sagakit.bus import Delivery
from sagakit.ctl.cli.provision import provision_with_retries
from sagakit.ctl.local.emulators import FIRESTORE, PUBSUB, Emulator, running
from sagakit.ctl.local.ports import free_ports
from sagakit.tables import Key
from services.payment.simulated import LEDGER, FaultSettings, save_faults, to_entry
from services.payment.storage import payment_key
from tests.support.eventually import eventually
from tests.support.suite import Suite, running_suite

OUTAGE_SECONDS = float(os.environ.get("OUTAGE_SECONDS", "8"))
"""Duration of the provider's outage. Set it to 300 for a long manual test."""


async def answers(suite: Suite) -> bool:
    try:
        await suite.purchase.CreateCart(pb.CreateCartRequest(cartid="ping"), timeout=5)
    except grpc.aio.AioRpcError:
        return False
    return True


def environ_of(firestore: str, pubsub: str) -> dict[str, str]:
    return {
        "BACKEND": "gcp",
        "GOOGLE_CLOUD_PROJECT": f"test-{uuid.uuid4().hex[:12]}",
        "DATASTORE_EMULATOR_HOST": firestore,
        "PUBSUB_EMULATOR_HOST": pubsub,
    }


async def start(emulator: Emulator, tmp_path: Path, port: int):
    """Start an emulator at that port; return its context manager, whose exit ends it."""
    held = running(emulator, tmp_path / f"{uuid.uuid4()}.log", port)
    await held.__aenter__()
    return held


@pytest.mark.emulators
async def test_services_recover_from_a_datastore_outage(
    tmp_path: Path, firestore_emulator: str, pubsub_emulator: str
):
    (port,) = free_ports(1)
    store = await start(FIRESTORE, tmp_path, port)
    async with running_suite(environ_of(f"127.0.0.1:{port}", pubsub_emulator)) as suite:
        await suite.ticket_becomes((await suite.order("before", red=1)).orderid, "approved")
        await store.__aexit__(None, None, None)

        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await suite.purchase.GetCart(pb.GetCartRequest(cartid="before"), timeout=10)
        assert failed.value.code() is grpc.StatusCode.UNAVAILABLE

        store = await start(FIRESTORE, tmp_path, port)
        try:
            await eventually(lambda: answers(suite), seconds=20)
            await suite.stock.PutItem(
                stock_pb.PutItemRequest(itemid="red", price=50, stock=10, waives_payment=True)
            )
            await suite.ticket_becomes((await suite.order("after", red=1)).orderid, "approved", seconds=60)
        finally:
            await store.__aexit__(None, None, None)


@pytest.mark.emulators
async def test_events_of_a_broker_outage_are_published_afterwards(tmp_path: Path, firestore_emulator: str):
    """The emulator restarts empty; once it is provisioned, the outbox is published to it."""
    (port,) = free_ports(1)
    environ = environ_of(firestore_emulator, f"127.0.0.1:{port}")
    broker = await start(PUBSUB, tmp_path, port)
    async with running_suite(environ) as suite:
        await suite.ticket_becomes((await suite.order("before", red=1)).orderid, "approved")
        await broker.__aexit__(None, None, None)

        waiting = [await suite.order(f"c{n}", red=1) for n in range(3)]
        broker = await start(PUBSUB, tmp_path, port)
        try:
            await provision_with_retries(TOPOLOGY, environ, 30)
            await asyncio.gather(
                *(suite.ticket_becomes(ticket.orderid, "approved", seconds=90) for ticket in waiting)
            )
        finally:
            await broker.__aexit__(None, None, None)


@pytest.mark.emulators
async def test_orders_end_although_the_broker_lost_all_messages_under_load(
    tmp_path: Path, firestore_emulator: str
):
    """Published and in-flight messages are lost alike; reminders replace them."""
    (port,) = free_ports(1)
    environ = {**environ_of(firestore_emulator, f"127.0.0.1:{port}"), "REMINDER_INTERVAL_SECONDS": "1"}
    broker = await start(PUBSUB, tmp_path, port)
    async with running_suite(environ) as suite:
        load = Load(suite)
        await load.grows(30)

        await broker.__aexit__(None, None, None)
        await load.grows(10)
        broker = await start(PUBSUB, tmp_path, port)
        try:
            await load.grows(10)
            await provision_with_retries(TOPOLOGY, environ, 30)
            await load.grows(30)
            await load.stop()
            await suite.balances(120)
            ends = Counter([(await suite.ticket(orderid)).status for orderid in load.orderids])
            assert set(ends) <= {"approved", "reserve-failed", "payment-failed"}
            assert ends["approved"] >= 30
        finally:
            await broker.__aexit__(None, None, None)


class Load:
    """Several clients, each placing order after order until `stop`."""

    def __init__(self, suite: Suite) -> None:
        self.orderids: list[str] = []
        self._suite = suite
        self._stopping = asyncio.Event()
        self._clients = asyncio.gather(*(self._client(name) for name in range(4)))

    async def grows(self, orders: int) -> None:
        """Wait until this many more orders were placed."""
        wanted = len(self.orderids) + orders
        await eventually(lambda: len(self.orderids) >= wanted, seconds=30)

    async def stop(self) -> None:
        self._stopping.set()
        await self._clients

    async def _client(self, name: int) -> None:
        number = 0
        while not self._stopping.is_set():
            number += 1
            itemid = ("blue", "red", "blue", "yellow", "gold")[number % 5]
            self.orderids.append((await self._suite.order(f"c{name}-{number}", **{itemid: 1})).orderid)


async def test_orders_wait_for_an_unavailable_provider_without_dead_letters(
    backend_environ: Mapping[str, str],
):
    async with running_suite(backend_environ) as suite:
        dead_letters: list[Delivery] = []
        suite.backend.bus.subscribe(TOPOLOGY.dead_letter_subscription, dead_letters.append, 100)
        await save_faults(suite.backend.tables, FaultSettings(unavailable=True))
        tickets = [await suite.order(f"c{number}", blue=1) for number in range(5)]

        await asyncio.gather(*(suite.ticket_becomes(each.orderid, "reserved") for each in tickets))
        await asyncio.sleep(OUTAGE_SECONDS)
        assert {(await suite.ticket(each.orderid)).status for each in tickets} == {"reserved"}
        await save_faults(suite.backend.tables, FaultSettings())

        await asyncio.gather(*(suite.ticket_becomes(each.orderid, "approved", 120) for each in tickets))
        await suite.balances(60)
        assert dead_letters == []


async def test_payment_that_starts_after_the_deadline_charges_nothing(
    backend_environ: Mapping[str, str],
):
    async with running_suite({**backend_environ, "ORDER_DEADLINE": "2"}) as suite:
        await suite.services.stop("payment")
        ticket = await suite.order("c", blue=3)

        canceled = await suite.ticket_becomes(ticket.orderid, "canceled")
        await suite.services.start("payment")

        assert canceled.reason == "timeout"
        assert await suite.history(ticket.orderid) == ["pre-approved", "reserved", "canceled"]
        await eventually(lambda: is_recorded(suite, ticket.orderid), seconds=60)
        await suite.balances(60)
        charge = await suite.charge(ticket.orderid)
        # `reserved` may be received first, or together with `canceled`: then it is charged, and refunded.
        ledger = Key(LEDGER, ticket.orderid)
        entry = to_entry((await suite.backend.tables.lookup([ledger]))[ledger].entity)
        assert (charge.status, charge.refunded) == ("canceled", entry.charged)
        assert (await suite.item("blue")).available == 100_000


async def is_recorded(suite: Suite, orderid: str) -> bool:
    return bool(await suite.backend.tables.lookup([payment_key(orderid)]))
