"""Backends that go away and come back: callers are told to try again, and services go on by themselves."""

import asyncio
import uuid
from pathlib import Path

import grpc
import pytest

from rpc import purchase_pb2 as pb
from rpc import stock_pb2 as stock_pb
from sagactl.emulators import FIRESTORE, PUBSUB, Emulator, running
from sagactl.ports import free_ports
from sagactl.provision import provision
from tests.support.eventually import eventually
from tests.support.suite import Suite, running_suite

pytestmark = pytest.mark.emulators


async def answers(suite: Suite) -> bool:
    try:
        await suite.purchase.CreateCart(pb.CreateCartRequest(cartid="is-anybody-there"), timeout=5)
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
    """A running emulator at that port, and what ends it."""
    held = running(emulator, tmp_path / f"{uuid.uuid4()}.log", port)
    await held.__aenter__()
    return held


async def test_a_store_that_is_away_is_unavailable_and_the_services_go_on_when_it_is_back(
    tmp_path: Path, firestore_emulator: str, pubsub_emulator: str
):
    (port,) = free_ports(1)
    store = await start(FIRESTORE, tmp_path, port)
    async with running_suite(environ_of(f"127.0.0.1:{port}", pubsub_emulator)) as suite:
        await suite.ticket_becomes((await suite.order("before", red=1)).orderid, "approved")
        await store.__aexit__(None, None, None)

        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await suite.purchase.GetCart(pb.GetCartRequest(cartid="before"), timeout=10)
        assert refused.value.code() is grpc.StatusCode.UNAVAILABLE

        store = await start(FIRESTORE, tmp_path, port)
        try:
            await eventually(lambda: answers(suite), seconds=20)
            await suite.stock.PutItem(
                stock_pb.PutItemRequest(itemid="red", price=50, stock=10, waives_payment=True)
            )
            await suite.ticket_becomes((await suite.order("after", red=1)).orderid, "approved", seconds=60)
        finally:
            await store.__aexit__(None, None, None)


async def test_a_broker_that_was_away_gets_what_was_said_in_the_meantime(
    tmp_path: Path, firestore_emulator: str
):
    """The emulator comes back empty: once it is provisioned again, the outbox is published to it."""
    (port,) = free_ports(1)
    environ = environ_of(firestore_emulator, f"127.0.0.1:{port}")
    broker = await start(PUBSUB, tmp_path, port)
    async with running_suite(environ) as suite:
        await suite.ticket_becomes((await suite.order("before", red=1)).orderid, "approved")
        await broker.__aexit__(None, None, None)

        waiting = [await suite.order(f"c{n}", red=1) for n in range(3)]
        broker = await start(PUBSUB, tmp_path, port)
        try:
            await provision(environ)
            await asyncio.gather(
                *(suite.ticket_becomes(ticket.orderid, "approved", seconds=90) for ticket in waiting)
            )
        finally:
            await broker.__aexit__(None, None, None)
