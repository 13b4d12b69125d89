"""A streaming pull: what it passes on, when, and what it tells the broker."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc
import pytest

from sagakit.backends.gcp.pubsub import open_pubsub
from sagakit.bus import Delivery
from sagakit.ctl.local.ports import free_ports
from sagakit.testing import eventually
from tests.support.scripted_broker import ScriptedBroker

RECEIVE_TIMEOUT_SECONDS = 8.0
"""A failed connection attempt is repeated after at most 2 s."""
NAME = "a-subscription"


@asynccontextmanager
async def out_of_order(port: int, attempts: int) -> AsyncIterator[asyncio.Event]:
    """Close each connection to that port at once; yields an event that is set after `attempts`."""
    seen, enough = 0, asyncio.Event()

    async def close(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal seen
        seen += 1
        if seen >= attempts:
            enough.set()
        writer.close()

    async with await asyncio.start_server(close, "127.0.0.1", port):
        yield enough


async def received(queue: "asyncio.Queue[Delivery]") -> Delivery:
    return await asyncio.wait_for(queue.get(), RECEIVE_TIMEOUT_SECONDS)


async def test_messages_are_received_once_the_broker_is_reached_and_by_the_only_stream():
    broker, deliveries = ScriptedBroker({"1": b"paid"}), asyncio.Queue[Delivery]()
    (port,) = free_ports(1)
    async with open_pubsub("a-project", f"127.0.0.1:{port}") as bus:
        async with out_of_order(port, attempts=2) as tried:
            bus.subscribe(NAME, deliveries.put_nowait, max_outstanding=10)
            await asyncio.wait_for(tried.wait(), 30)

        async with broker.serving(port):
            delivery = await received(deliveries)
            delivery.ack()
            await bus.close()

    assert delivery.message.data == b"paid"
    assert broker.streams == 1
    assert broker.acknowledged == [["1"]]


async def test_messages_beyond_the_limit_are_held_until_others_are_settled():
    broker, deliveries = ScriptedBroker({"1": b"a", "2": b"b", "3": b"c"}), asyncio.Queue[Delivery]()
    async with broker.serving() as address, open_pubsub("a-project", address) as bus:
        bus.subscribe(NAME, deliveries.put_nowait, max_outstanding=2)
        first, second = await received(deliveries), await received(deliveries)
        assert deliveries.empty()

        first.ack()
        third = await received(deliveries)
        second.ack()
        third.ack()
        await bus.close()

    assert [each.message.data for each in (first, second, third)] == [b"a", b"b", b"c"]
    assert sorted(id_ for ids in broker.acknowledged for id_ in ids) == ["1", "2", "3"]


async def test_messages_of_a_large_response_that_are_settled_at_once_arrive_in_order():
    ids = [str(n) for n in range(500)]
    broker, arrived = ScriptedBroker({each: each.encode() for each in ids}), list[str]()

    def receive(delivery: Delivery) -> None:
        delivery.ack()
        arrived.append(delivery.message.data.decode())

    async with broker.serving() as address, open_pubsub("a-project", address) as bus:
        pull = bus.subscribe(NAME, receive, max_outstanding=1000)
        await eventually(lambda: len(arrived) == len(ids) or pull.done.done(), RECEIVE_TIMEOUT_SECONDS)
        await bus.close()

    assert arrived == ids
    assert sorted(id_ for settled in broker.acknowledged for id_ in settled) == sorted(ids)


async def test_messages_settled_together_are_settled_by_one_call():
    broker, deliveries = ScriptedBroker({str(n): b"" for n in range(50)}), asyncio.Queue[Delivery]()
    async with broker.serving() as address, open_pubsub("a-project", address) as bus:
        bus.subscribe(NAME, deliveries.put_nowait, max_outstanding=100)
        for each in [await received(deliveries) for _ in range(50)]:
            each.ack()
        await bus.close()

    assert [len(ids) for ids in broker.acknowledged] == [50]


async def test_messages_that_arrive_while_the_pull_is_closed_are_released():
    broker = ScriptedBroker({"1": b"in flight"}, late={"2": b"late"})
    deliveries = asyncio.Queue[Delivery]()
    async with broker.serving() as address, open_pubsub("a-project", address) as bus:
        pull = bus.subscribe(NAME, deliveries.put_nowait, max_outstanding=10)
        delivery = await received(deliveries)

        await pull.close()
        await eventually(lambda: broker.released == ["2"], RECEIVE_TIMEOUT_SECONDS)
        delivery.ack()
        await asyncio.wait_for(pull.ended(), RECEIVE_TIMEOUT_SECONDS)

    assert deliveries.empty()
    assert broker.acknowledged == [["1"]]


async def test_acknowledgement_is_repeated_if_the_broker_is_unavailable():
    broker, deliveries = ScriptedBroker({"1": b""}), asyncio.Queue[Delivery]()
    broker.failures = [grpc.StatusCode.UNAVAILABLE]
    async with broker.serving() as address, open_pubsub("a-project", address) as bus:
        bus.subscribe(NAME, deliveries.put_nowait, max_outstanding=10)
        (await received(deliveries)).ack()

        await eventually(lambda: broker.acknowledged == [["1"]], RECEIVE_TIMEOUT_SECONDS)


async def test_acknowledgement_is_not_repeated_if_the_subscription_was_deleted(
    capsys: pytest.CaptureFixture[str],
):
    broker, deliveries = ScriptedBroker({"1": b""}), asyncio.Queue[Delivery]()
    broker.failures = [grpc.StatusCode.NOT_FOUND]
    async with broker.serving() as address, open_pubsub("a-project", address) as bus:
        bus.subscribe(NAME, deliveries.put_nowait, max_outstanding=10)
        (await received(deliveries)).ack()
        await bus.close()

    assert broker.failures == []
    assert broker.acknowledged == []
    assert "leases not changed" not in capsys.readouterr().out


async def test_defect_of_the_receiver_is_raised_to_the_one_that_awaits_the_end():
    def broken(_: Delivery) -> None:
        raise ZeroDivisionError

    async with ScriptedBroker({"1": b""}).serving() as address, open_pubsub("a-project", address) as bus:
        pull = bus.subscribe(NAME, broken, max_outstanding=10)
        with pytest.raises(ZeroDivisionError):
            await asyncio.wait_for(pull.ended(), RECEIVE_TIMEOUT_SECONDS)
        pull.abandon()
