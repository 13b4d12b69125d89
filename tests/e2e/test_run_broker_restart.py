"""A broker that is lost with everything in it, while an order is followed."""

import asyncio
import os
import signal
import sys

import pytest

from sagaclient import SagaClient
from sagactl.emulators import PUBSUB
from tests.support.eventually import eventually
from tests.support.local_suite import suite

pytestmark = [
    pytest.mark.emulators,
    pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc"),
]

WORDS = [
    *("delivery.delivery-arranged", "end", "payment.paid", "payment.settled"),
    *("purchase.approved", "purchase.pre-approved", "stock.reserved", "stock.sold"),
]


@pytest.mark.usefixtures("pubsub_emulator")  # Skips where there is none.
async def test_no_move_is_missed_and_none_told_twice_when_the_broker_is_lost(tmp_path):
    with suite(tmp_path, "--backend", "emulators", environ={"REMINDER_INTERVAL_SECONDS": "2"}) as local:
        await asyncio.to_thread(local.until_ready)
        assert local.sagactl("stop", "payment").returncode == 0
        async with SagaClient(local.facts["gateway"]) as client:
            await client.create_cart("c-1")
            await client.set_item("c-1", "blue", 3)
            await client.close_cart("c-1")
            order = await client.checkout("c-1")
            heard: list[str] = []
            following = asyncio.create_task(follow(client, order.orderid, heard))
            await eventually(lambda: "stock.reserved" in heard, 30)

            (broker,) = local.pids(PUBSUB.main_class)
            os.kill(broker, signal.SIGKILL)
            await asyncio.to_thread(local.until_said, f"the {PUBSUB.title} is set up again")
            assert local.sagactl("start", "payment").returncode == 0

            await asyncio.wait_for(following, 60)

    assert sorted(heard) == WORDS


async def follow(client: SagaClient, orderid: str, heard: list[str]) -> None:
    async for event in client.order_events(orderid):
        word = "end" if event.service is None else f"{event.service}.{event.status}"
        heard.append(word)
