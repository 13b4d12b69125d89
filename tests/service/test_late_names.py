"""Names of services that exist only later, as a headless Service's before its first pod is ready."""

import asyncio
import time
from collections.abc import Awaitable

import pytest

from rpc.stock_pb2 import Item, PutItemRequest, PutItemResponse
from sagactl.cli.stock import CATALOGUE, put_if_absent
from services.gateway.clients import SERVICES, Clients
from tests.service.gateway_harness import FakeService
from tests.support.eventually import eventually
from tests.support.grpcserver import serving
from tests.support.late_dns import LateDns, late_dns

LATE_SECONDS = 8.0
"""After which gRPC's own attempts are more than three seconds apart."""
MAX_INTERVAL_SECONDS = 3.2


async def found_late(dns: LateDns, work: Awaitable[object]) -> None:
    """Let the name appear while the work waits; check that it was asked for all the time until it is done."""
    task = asyncio.ensure_future(work)
    await asyncio.sleep(LATE_SECONDS)
    assert not task.done()
    dns.addresses = ["127.0.0.1"]
    await task
    times = [*dns.asked_at, time.monotonic()]

    assert (
        max(later - earlier for earlier, later in zip(times, times[1:], strict=False)) < MAX_INTERVAL_SECONDS
    )


@pytest.mark.timeout(40)
async def test_seeding_finds_a_late_name_within_seconds():
    async def put_item(request, _):
        itemid = PutItemRequest.FromString(request).itemid
        return PutItemResponse(item=Item(itemid=itemid)).SerializeToString()

    name = SERVICES["stock"].full_name
    async with late_dns() as dns, serving(name, {"PutItem": put_item}) as address:
        target = f"dns://{dns.authority}/stock:{address.rpartition(':')[2]}"
        await found_late(dns, put_if_absent(target, CATALOGUE, timeout_seconds=30))


@pytest.mark.timeout(40)
async def test_gateway_finds_a_late_name_within_seconds():
    async with late_dns() as dns, FakeService("stock").running() as stock:
        targets = dict.fromkeys(SERVICES, "ipv4:127.0.0.1:1")
        targets["stock"] = f"dns://{dns.authority}/stock:{stock.address.rpartition(':')[2]}"
        async with Clients(targets, 5) as clients:

            async def serves() -> bool:
                return not await clients.not_serving(["stock"])

            await found_late(dns, eventually(serves, 30))
