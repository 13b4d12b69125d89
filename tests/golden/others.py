"""Suites and gateways with other settings: rate limits, authentication, lost events, failing services."""

import asyncio
from collections import Counter
from collections.abc import Mapping
from typing import Any

import grpc
import httpx

from tests.golden import suite as environs
from tests.golden.seen import AUTH, FAILURES, GATEWAY, LIMITS, RESERVATION, STREAM, UNREACHABLE, Seen
from tests.golden.suite import Message, Observed, body_of, gateway, observed_suite
from tests.golden.text import openapi
from tests.service.gateway_harness import Failure
from tests.service.gateway_harness import suite as fake_suite
from tests.support.eventually import eventually
from tests.support.issuer import an_issuer

ITEM = "GET /v1/items/gold"
REMINDED = {
    ("purchase", "pre-approved"),
    ("purchase", "approved"),
    ("stock", "reserved"),
    ("stock", "paid"),
    ("payment", "paid"),
}


async def gateways(
    seen: Seen, targets: Mapping[str, str], environ: Mapping[str, str], observed: Observed
) -> None:
    order = f"/v1/orders/{seen.id('red')}"
    async with gateway(targets, {}) as client:
        for line in (f"GET {order}/events", f"GET {order}?wait=1"):
            await seen.http(client, STREAM, "no broker", line)
    for case, limits in environs.LIMITED.items():
        async with gateway(targets, limits) as client:
            for number in range(3):
                forwarded = {"X-Forwarded-For": f"198.51.100.{number}"}
                await seen.http(client, LIMITS, case, ITEM, headers=forwarded)
            for line in ("GET /healthz", "GET /ui/config", "GET /", "GET /v1/nothing"):
                await seen.http(client, LIMITS, case, line)
    async with gateway(targets, {**environ, **environs.ONE_STREAM}) as client:
        await _one_too_many(seen, client, observed, order)
    async with gateway(targets, environs.PAGES) as client:
        origin = {"Origin": "https://shop.example"}
        asked = {"Access-Control-Request-Method": "PUT", "Access-Control-Request-Headers": "Idempotency-Key"}
        await seen.http(client, GATEWAY, "CORS", ITEM, headers=origin)
        await seen.http(client, GATEWAY, "CORS, another", ITEM, headers={"Origin": "https://x.example"})
        await seen.http(client, GATEWAY, "CORS, asked", "OPTIONS /v1/carts/x", headers=origin | asked)
        await seen.http(client, GATEWAY, "with a trace URL", "GET /ui/config")
    async with gateway(targets, {}, draining=True) as client:
        for line in ("GET /readyz", "GET /healthz", ITEM):
            await seen.http(client, GATEWAY, "draining", line)
    async with gateway({}, environs.SHORT_TIMEOUT) as client:
        for line in ("GET /readyz", "GET /readyz?all=true", "GET /v1/carts/x", f"GET {order}/events"):
            await seen.http(client, UNREACHABLE, "service unreachable", line)


async def _one_too_many(seen: Seen, client: httpx.AsyncClient, observed: Observed, order: str) -> None:
    orderid = await seen.order(client, "held", blue=5)
    waiting: list[asyncio.Task[httpx.Response]] = []

    async def is_waited_for() -> bool:
        if not waiting or waiting[-1].done():  # a check for it may have come first
            waiting.append(asyncio.create_task(client.get(f"/v1/orders/{orderid}?wait=30")))
        await asyncio.sleep(0.05)
        return (await client.get(f"{order}/events")).status_code == 503

    await eventually(is_waited_for)
    await seen.http(client, STREAM, "too many streams", f"GET {order}/events")
    await eventually(lambda: observed.status(RESERVATION, orderid) == "reserved")
    await client.post(f"/v1/orders/{orderid}:cancel")
    await asyncio.gather(*waiting)
    await seen.settled(observed, orderid)


async def reminders(seen: Seen) -> None:
    """Lose events that reminders repeat until they are reminders, and the first of every other event."""
    lost: Counter[tuple[str, ...]] = Counter()

    def loses(topic: str, message: Message) -> bool:
        body = body_of(message)
        event = topic, body["orderid"], body["status"]
        lost[event] += 1
        reminded = (topic.rpartition(".")[2], body["status"]) in REMINDED
        return "again" not in message.attributes if reminded else lost[event] == 1

    observed, environ = Observed(loses), {**seen.environ("reminders"), **environs.REMINDERS}
    async with observed_suite(environ, observed) as suite:
        async with gateway(suite.services.targets, {}) as client:
            orders = [
                await seen.order(client, f"{itemid} with losses", **{itemid: 1})
                for itemid in ("blue", "red", "gold", "yellow")
            ]
        for orderid in orders:
            await seen.settled(observed, orderid)
        await suite.balances()
    seen.record("reminders-", observed, exact=False)


async def authenticated(seen: Seen) -> None:
    """Ownership; and an order without a reply, which is canceled at its deadline."""
    observed = Observed(lambda _, message: body_of(message).get("status") == "reserved")
    with an_issuer() as issuer:
        environ = {**seen.environ("authenticated"), **issuer.environ}
        operator = issuer.token("root", scope="saga.operator")
        quick = {**environ, **environs.DEADLINE, **environs.NO_REMINDERS}
        async with observed_suite(quick, observed, operator_token=operator) as suite:
            async with gateway(suite.services.targets, environ) as client:
                await _access(seen, client, observed, issuer, operator)
                document = (await client.get("/openapi.json")).json()
            async with gateway(suite.services.targets, {**environ, **environs.PRODUCTION}) as client:
                await seen.http(client, AUTH, "production", "GET /healthz")
    seen.files["openapi.txt"] = "\n".join(openapi(document)) + "\n"
    seen.record("authenticated-", observed, exact=False)


async def _access(
    seen: Seen, client: httpx.AsyncClient, observed: Observed, issuer: Any, operator: str
) -> None:
    alice, bob = _bearer(issuer.token("alice")), _bearer(issuer.token("bob"))
    orderid = await seen.order(client, "of alice", alice, blue=3)
    for case, headers in (
        ("no token", []),
        ("another scheme", {"Authorization": "Basic YQ=="}),
        ("an empty token", _bearer("")),
        ("rubbish", _bearer("e.e")),
        ("expired", _bearer(issuer.token(exp=1))),
        ("another audience", _bearer(issuer.token(aud="x"))),
        ("no subject", _bearer(issuer.token(sub=""))),
        ("two tokens", [*_bearer("e.e").items()] * 2),
    ):
        await seen.http(client, AUTH, case, ITEM, headers=headers)
    for path in ("/", "/healthz", "/readyz", "/ui/config", "/v1/nothing", "/no/such/path"):
        await seen.http(client, AUTH, "no token", f"GET {path}")
    await eventually(lambda: observed.status(RESERVATION, orderid) == "released", 30)
    for who, headers in (("alice", alice), ("bob", bob), ("operator", _bearer(operator))):
        for line, body in (
            ("GET /v1/carts/of-alice", None),
            ("PUT /v1/carts/of-alice", None),
            ("PUT /v1/carts/of-alice/items/blue", {"count": 1}),
            (f"GET /v1/orders/{orderid}", None),
            (f"GET /v1/orders/{orderid}/history", None),
            (f"GET /v1/orders/{orderid}/events", None),
            (f"POST /v1/orders/{orderid}:cancel", None),
            ("POST /purchase/api/get_cart", {"cartid": "of-alice"}),
            ("POST /purchase/api/get_order_ticket", {"orderid": orderid}),
            ("POST /payment/api/get_payment", {"orderid": orderid}),
            ("POST /delivery/api/get_delivery", {"orderid": orderid}),
        ):
            await seen.http(client, AUTH, who, line, body, headers=headers)


def _bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


async def failing(seen: Seen) -> None:
    """Answers that only fakes give."""
    for code in grpc.StatusCode:
        if code is grpc.StatusCode.OK:
            continue
        failures = [Failure(code, "10.1.2.3 says no")]
        async with fake_suite(GetCart=failures, CancelOrder=failures) as (client, _):
            await seen.http(client, FAILURES, code.name, "POST /purchase/api/get_cart", {"cartid": "x"})
            await seen.http(client, FAILURES, code.name, "GET /v1/carts/x")
            await seen.http(client, FAILURES, code.name, "POST /v1/orders/x:cancel")
    async with fake_suite(GetCart=[asyncio.Event().wait], timeout_seconds=0.2) as (client, _):
        await seen.http(client, FAILURES, "too slow", "GET /v1/carts/x")
