"""The gateway's probes."""

import asyncio

import pytest
from grpc_health.v1._async import HealthServicer

from services.gateway.app import Lifecycle
from tests.service.gateway_harness import (
    NOT_SERVING,
    SERVING,
    FakeService,
    assert_problem,
    fakes,
    gateway,
    targets_of,
)
from tests.support.eventually import eventually


async def test_gateway_is_alive_without_services():
    async with gateway({}) as client:
        response = await client.get("/healthz")

    assert (response.status_code, response.json()) == (200, {"status": "ok"})


async def test_gateway_is_ready_while_purchase_and_stock_serve():
    async with fakes() as services, gateway(targets_of(services.values())) as client:
        purchase, stock = services["purchase"], services["stock"]
        at_first = await client.get("/readyz")
        await stock.health.set("", NOT_SERVING)
        then = await client.get("/readyz")
        await purchase.health.set("", NOT_SERVING)
        later = await client.get("/readyz")
        await stock.health.set("", SERVING)
        await purchase.health.set("", SERVING)
        # The channel learns a moment later that its only connection serves again.
        await eventually(lambda: is_ready(client))

    assert (at_first.status_code, at_first.json()) == (200, {"status": "ok"})
    assert assert_problem(then, 503, "not-ready")["detail"] == "Not serving: stock."
    assert assert_problem(later, 503, "not-ready")["detail"] == "Not serving: purchase, stock."


async def is_ready(client):
    return (await client.get("/readyz")).status_code == 200


async def test_gateway_is_ready_without_payment_and_delivery():
    async with fakes() as services, gateway(targets_of(services.values())) as client:
        with_all = await client.get("/readyz?all=true")
        await services["payment"].health.set("", NOT_SERVING)
        await services["delivery"].health.set("", NOT_SERVING)
        ready = await client.get("/readyz")
        without = await client.get("/readyz?all=true")

    assert (with_all.status_code, ready.status_code) == (200, 200)
    assert assert_problem(without, 503, "not-ready")["detail"] == "Not serving: payment, delivery."


@pytest.mark.parametrize("value", ["", "True", "yes"])
async def test_all_must_be_true_or_false(value):
    async with fakes() as services, gateway(targets_of(services.values())) as client:
        answer = await client.get("/readyz", params={"all": value})

    assert assert_problem(answer, 400, "invalid-argument")["errors"] == [
        {"field": "all", "message": "must be true or false"}
    ]


async def test_gateway_becomes_ready_once_a_missing_service_starts():
    stock = FakeService("stock")
    async with stock.running():
        pass

    async def ready():
        return (await client.get("/readyz")).status_code == 200

    async with (
        FakeService("purchase").running() as purchase,
        gateway(targets_of([purchase, stock])) as client,
    ):
        before = await client.get("/readyz")
        async with stock.running():
            await eventually(ready, 5)

    assert assert_problem(before, 503, "not-ready")["detail"] == "Not serving: stock."


class StuckHealth(HealthServicer):
    """Never answers."""

    async def Check(self, request, context):  # noqa: N802 - gRPC's name
        await asyncio.Event().wait()


async def test_service_that_does_not_answer_within_a_second_is_not_serving():
    async with (
        FakeService("purchase", health=StuckHealth()).running() as purchase,
        FakeService("stock").running() as stock,
        gateway(targets_of([purchase, stock])) as client,
    ):
        async with asyncio.timeout(3):
            response = await client.get("/readyz")

    assert assert_problem(response, 503, "not-ready")["detail"] == "Not serving: purchase."


async def test_draining_gateway_is_alive_and_not_ready():
    lifecycle = Lifecycle()
    async with (
        fakes() as services,
        gateway(targets_of(services.values()), lifecycle=lifecycle) as client,
    ):
        lifecycle.draining = True
        ready = await client.get("/readyz")
        all_ready = await client.get("/readyz?all=true")
        alive = await client.get("/healthz")

    assert_problem(ready, 503, "draining")
    assert_problem(all_ready, 503, "draining")
    assert alive.status_code == 200
