"""The gateway's probes."""

import asyncio
from contextlib import AsyncExitStack

import pytest
from grpc_health.v1._async import HealthServicer

from services.gateway.app import Lifecycle
from services.gateway.clients import SERVICES
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
        # A check is reused for a second.
        await stock.health.set("", NOT_SERVING)
        await eventually(lambda: is_problem(client, "Not serving: stock."))
        await purchase.health.set("", NOT_SERVING)
        await eventually(lambda: is_problem(client, "Not serving: purchase, stock."))
        await stock.health.set("", SERVING)
        await purchase.health.set("", SERVING)
        await eventually(lambda: is_ready(client))

    assert (at_first.status_code, at_first.json()) == (200, {"status": "ok"})


async def is_problem(client, detail, path="/readyz"):
    answer = await client.get(path)
    return answer.status_code == 503 and assert_problem(answer, 503, "not-ready")["detail"] == detail


async def is_ready(client):
    return (await client.get("/readyz")).status_code == 200


class CountedHealth(HealthServicer):
    """Counts the checks."""

    checks = 0

    async def Check(self, request, context):  # noqa: N802 - gRPC's name
        self.checks += 1
        await asyncio.sleep(0.1)
        return await super().Check(request, context)


async def test_probes_share_their_checks_of_the_services():
    async with AsyncExitStack() as stack:
        services = [
            await stack.enter_async_context(FakeService(name, health=CountedHealth()).running())
            for name in SERVICES
        ]
        client = await stack.enter_async_context(gateway(targets_of(services)))
        answers = await asyncio.gather(*(client.get("/readyz?all=true") for _ in range(100)))
        answers += [await client.get("/readyz?all=true") for _ in range(5)]

    assert {answer.status_code for answer in answers} == {200}
    assert [1 <= service.health.checks <= 2 for service in services] == [True] * len(SERVICES)


async def test_gateway_is_ready_without_payment_and_delivery():
    async with fakes() as services, gateway(targets_of(services.values())) as client:
        with_all = await client.get("/readyz?all=true")
        await services["payment"].health.set("", NOT_SERVING)
        await services["delivery"].health.set("", NOT_SERVING)
        await eventually(lambda: is_problem(client, "Not serving: payment, delivery.", "/readyz?all=true"))
        ready = await client.get("/readyz")

    assert (with_all.status_code, ready.status_code) == (200, 200)


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
