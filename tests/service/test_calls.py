"""The service config: who calls a service waits, repeats and turns to another process as it says."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc
import pytest

from contract.calls import DEADLINE_SECONDS, service_config
from rpc import purchase_pb2 as pb
from rpc.purchase_pb2_grpc import PurchaseStub
from services.gateway.clients import SERVICES
from tests.service.gateway_harness import NOT_SERVING, SERVING, FakeService, Refusal, until

PURCHASE = SERVICES["purchase"].full_name
GET = pb.GetCartRequest(cartid="c")


@asynccontextmanager
async def calling(
    *services: FakeService, deadline_seconds: float = DEADLINE_SECONDS
) -> AsyncIterator[PurchaseStub]:
    """A stub of the processes, with nothing but the service config."""
    options = [("grpc.service_config", service_config(PURCHASE, deadline_seconds))]
    target = f"ipv4:{','.join(service.address for service in services)}"
    async with grpc.aio.insecure_channel(target, options) as channel:
        yield PurchaseStub(channel)


@pytest.mark.parametrize("code", [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED])
async def test_a_call_that_nobody_answered_is_made_again(code):
    answers = {"GetCart": [Refusal(code), Refusal(code), pb.GetCartResponse()]}
    async with FakeService("purchase", answers).running() as purchase, calling(purchase) as stub:
        await stub.GetCart(GET)

    assert len(purchase.asked) == 3


@pytest.mark.parametrize(
    "code", [grpc.StatusCode.ABORTED, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.INTERNAL]
)
async def test_an_answer_is_an_answer(code):
    answers = {"GetCart": [Refusal(code)]}
    async with FakeService("purchase", answers).running() as purchase, calling(purchase) as stub:
        with pytest.raises(grpc.aio.AioRpcError):
            await stub.GetCart(GET)

    assert len(purchase.asked) == 1


async def test_a_call_without_a_deadline_of_its_own_has_one():
    answers = {"GetCart": [asyncio.Event().wait]}
    async with (
        FakeService("purchase", answers).running() as purchase,
        calling(purchase, deadline_seconds=0.2) as stub,
    ):
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await asyncio.wait_for(stub.GetCart(GET), 5)

    assert raised.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED


async def test_a_process_that_drains_is_asked_nothing_more_and_again_when_it_serves():
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

        await until(lambda: holds(asked, {1, 2}))
        await one.health.set("", NOT_SERVING)
        await until(lambda: holds(asked, {2}))
        assert await asked() == {2}
        await one.health.set("", SERVING)
        await until(lambda: holds(asked, {1, 2}))


async def holds(asked, expected: set[int]) -> bool:
    return await asked() == expected


@pytest.mark.parametrize("service", SERVICES.values(), ids=SERVICES)
def test_every_call_of_every_service_has_a_deadline_and_a_policy(service):
    (method,) = json.loads(service_config(service.full_name))["methodConfig"]

    assert method["name"] == [{"service": service.full_name}]
    assert method["timeout"] == "10s"
    assert set(method["retryPolicy"]["retryableStatusCodes"]) == {"UNAVAILABLE", "CANCELLED"}
