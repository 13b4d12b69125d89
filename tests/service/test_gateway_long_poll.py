"""Long polls: how long they wait, and what ends them."""

import asyncio

import grpc
from httpx import Response

from contract.tickets import TicketMessage
from rpc.purchase_pb2 import GetOrderTicketResponse
from services.gateway.settings import RequestLimits, StreamLimits
from tests.service.gateway_harness import Failure, assert_problem
from tests.service.test_gateway_stream import gateway, noon
from tests.support.eventually import eventually


async def waiting(client, feeds) -> "asyncio.Task[Response]":
    """A long poll that follows the order."""
    task = asyncio.create_task(client.get("/v1/orders/o-1", params={"wait": 60}))
    await eventually(lambda: feeds._feeds)
    return task


async def test_long_poll_is_answered_as_soon_as_the_order_has_ended():
    async with gateway() as (client, feeds, _):
        poll = await waiting(client, feeds)

        await eventually(lambda: feeds._feeds["o-1"].status == "pre-approved")
        assert not poll.done()
        feeds.receive("purchase", TicketMessage("o-1", "canceled", ()), noon(2), is_reminder=False)

        async with asyncio.timeout(5):
            assert (await poll).status_code == 200
        assert not feeds._feeds


async def test_long_poll_is_answered_when_the_gateway_stops():
    async with gateway() as (client, feeds, _):
        poll = await waiting(client, feeds)

        feeds.close()

        async with asyncio.timeout(5):
            assert (await poll).status_code == 200


async def test_long_poll_gives_its_place_to_the_next():
    async with gateway(StreamLimits(max_streams=1)) as (client, _, _):
        answers = [await client.get("/v1/orders/o-1", params={"wait": 0.02}) for _ in range(3)]

    assert [each.status_code for each in answers] == [200] * 3


async def test_long_poll_may_take_longer_than_other_requests():
    order = GetOrderTicketResponse(order_ticket={"orderid": "o-1", "status": "pre-approved"})

    async def slow():
        await asyncio.sleep(1.2)
        return order

    limits = RequestLimits(request_seconds=1)
    async with gateway(limits=limits, GetOrderTicket=[order, slow]) as (client, feeds, _):
        poll = await waiting(client, feeds)

        feeds.close()

        assert (await poll).status_code == 200


async def test_order_that_the_caller_may_not_see_is_neither_followed_nor_read():
    missing, reads = Failure(grpc.StatusCode.NOT_FOUND), 0

    async def read():
        nonlocal reads
        reads += 1
        return missing

    async with gateway(GetOrderTicket=[missing], GetOrderHistory=[read]) as (client, _, _):
        answer = await client.get("/v1/orders/o-1", params={"wait": 1})

    assert_problem(answer, 404, "not-found")
    assert reads == 0
