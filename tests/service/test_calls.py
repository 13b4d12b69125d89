"""The service config: retries, and load balancing by health."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import grpc
import pytest

from contract.calls import service_config
from rpc import purchase_pb2 as pb
from rpc.purchase_pb2_grpc import PurchaseStub
from services.gateway.clients import SERVICES
from tests.service.gateway_harness import NOT_SERVING, SERVING, Failure, FakeService
from tests.support.eventually import eventually

PURCHASE = SERVICES["purchase"].full_name
GET = pb.GetCartRequest(cartid="c")


@asynccontextmanager
async def calling(*services: FakeService) -> AsyncIterator[PurchaseStub]:
    """Yield a stub for the processes, configured only by the service config."""
    options = [("grpc.service_config", service_config(PURCHASE))]
    target = f"ipv4:{','.join(service.address for service in services)}"
    async with grpc.aio.insecure_channel(target, options) as channel:
        yield PurchaseStub(channel)


@pytest.mark.parametrize(
    ("code", "calls"),
    [("UNAVAILABLE", 3), ("CANCELLED", 3), ("ABORTED", 1), ("DEADLINE_EXCEEDED", 1), ("INTERNAL", 1)],
)
async def test_only_a_call_without_a_response_is_retried(code, calls):
    failure = Failure(grpc.StatusCode[code])
    answers = {"GetCart": [failure, failure, pb.GetCartResponse()]}
    async with FakeService("purchase", answers).running() as purchase, calling(purchase) as stub:
        with suppress(grpc.aio.AioRpcError):
            await stub.GetCart(GET)

    assert len(purchase.asked) == calls


async def test_draining_process_gets_no_calls_until_it_serves_again():
    async with (
        FakeService("purchase").running() as one,
        FakeService("purchase").running() as two,
        calling(one, two) as stub,
    ):

        async def asked() -> set[int]:
            one.asked.clear()
            two.asked.clear()
            for _ in range(10):
                await stub.GetCart(GET)
            return {number for number, service in ((1, one), (2, two)) if service.asked}

        await eventually(lambda: holds(asked, {1, 2}))
        await one.health.set("", NOT_SERVING)
        await eventually(lambda: holds(asked, {2}))
        assert await asked() == {2}
        await one.health.set("", SERVING)
        await eventually(lambda: holds(asked, {1, 2}))


async def holds(asked, expected: set[int]) -> bool:
    return await asked() == expected


@pytest.mark.parametrize("service", SERVICES.values(), ids=SERVICES)
def test_every_service_has_a_retry_policy_and_no_timeout_on_the_wall_clock(service):
    (method,) = json.loads(service_config(service.full_name))["methodConfig"]

    assert method["name"] == [{"service": service.full_name}]
    assert "timeout" not in method
    assert set(method["retryPolicy"]["retryableStatusCodes"]) == {"UNAVAILABLE", "CANCELLED"}
