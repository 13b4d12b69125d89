"""Topics that are deleted and made again: orders, long polls and event streams end all the same."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from contract.topology import TOPOLOGY
from sagakit.backends import open_provisioner
from sagakit.ctl.cli.provision import ensure_provisioned
from tests.saga.test_event_stream import PAID, a_gateway, all_subscriptions, keys
from tests.support.brokers import delete_embedded_topic, delete_pubsub_topic
from tests.support.eventually import eventually
from tests.support.sse import follow
from tests.support.suite import Suite, running_suite

STOCK = "com.example.service.stock.Stock"
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


async def delete(environ: Mapping[str, str], topic: str) -> None:
    if environ["BACKEND"] == "embedded":
        await delete_embedded_topic(Path(environ["EMBEDDED_FILE"]), topic)
    else:
        project, emulator = environ["GOOGLE_CLOUD_PROJECT"], environ["PUBSUB_EMULATOR_HOST"]
        await delete_pubsub_topic(project, emulator, topic)


@pytest.fixture
async def suite(backend_environ: Mapping[str, str]) -> AsyncIterator[Suite]:
    async with running_suite(backend_environ) as running:
        yield running


async def test_provisioning_after_topics_were_deleted_brings_orders_to_their_end(
    suite: Suite, backend_environ: Mapping[str, str]
):
    """Known mistake: the subscriptions that belong to a deleted topic are taken to be good."""
    async with a_gateway(suite, backend_environ) as (client, _):
        before = await suite.order("before", blue=3)
        assert sorted(keys(await follow(client, before.orderid))) == sorted(PAID)
        for topic in TOPOLOGY.all_topics():
            await delete(backend_environ, topic)
        waiting = await suite.order("meanwhile", blue=3)

        lines = await ensure_provisioned(TOPOLOGY, backend_environ)

        began = time.monotonic()
        answer = await client.get(f"/v1/orders/{waiting.orderid}", params={"wait": 25}, timeout=40)
        assert answer.json()["status"] == "approved"
        after = await suite.order("after", blue=3)
        async with asyncio.timeout(30):
            assert sorted(keys(await follow(client, after.orderid))) == sorted(PAID)
        assert time.monotonic() - began < 40
        await suite.balances(30)
    changed = [line for line in lines if line.endswith("(remade: its topic was deleted)")]
    expected = 0 if backend_environ["BACKEND"] == "embedded" else len(TOPOLOGY.subscriptions()) + 1
    assert len(changed) == expected


async def test_gateway_without_ephemeral_subscriptions_reads_what_it_does_not_receive(
    suite: Suite, backend_environ: Mapping[str, str]
):
    """Its subscriptions cannot be made while the topics are missing; the order is approved from records."""
    async with a_gateway(suite, backend_environ) as (client, _):
        await suite.services.stop("payment")
        order = await suite.order("c-1", blue=3)
        await suite.ticket_becomes(order.orderid, "reserved")
        polling = asyncio.create_task(
            client.get(f"/v1/orders/{order.orderid}", params={"wait": 60}, timeout=80)
        )
        following = asyncio.create_task(follow(client, order.orderid))
        async with open_provisioner(backend_environ) as provisioner:
            for name in await eventually(lambda: all_subscriptions(backend_environ)):
                await provisioner.remove_subscription(name)
        await delete(backend_environ, TOPOLOGY.topics["delivery"])

        await suite.services.start("payment")
        await suite.ticket_becomes(order.orderid, "approved")
        began = time.monotonic()

        assert (await polling).json()["status"] == "approved"
        assert time.monotonic() - began < 10
        await ensure_provisioned(TOPOLOGY, backend_environ)
        async with asyncio.timeout(40):
            assert keys(await following)[-1] == "end"


async def test_service_whose_subscription_is_missing_at_its_start_is_not_ready(
    suite: Suite, backend_environ: Mapping[str, str]
):
    await suite.services.stop("stock")
    async with open_provisioner(backend_environ) as provisioner:
        await provisioner.remove_subscription("stock-service.com.example.purchase")

    (address,) = await suite.services.start("stock")
    async with grpc.aio.insecure_channel(address) as channel:

        async def reports(service: str, status: int) -> bool:
            request = health_pb2.HealthCheckRequest(service=service)
            return (await health_pb2_grpc.HealthStub(channel).Check(request)).status == status

        assert await reports("", SERVING)
        assert await reports(STOCK, NOT_SERVING)
        await ensure_provisioned(TOPOLOGY, backend_environ)

        await eventually(lambda: reports(STOCK, SERVING))
