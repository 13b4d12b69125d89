"""A traced suite in which orders end in every possible way; its gateway, streams and tables."""

import re

import httpx

from tests.golden import cases
from tests.golden.operators import open_orders, operators
from tests.golden.others import gateways
from tests.golden.seen import GATEWAY, LEGACY, ORDERS, PAYMENT, RESERVATION, RESOURCES, STREAM, TICKET, Seen
from tests.golden.suite import NO_REMINDERS, Message, Observed, body_of, gateway, observed_suite
from tests.support.eventually import eventually
from tests.support.traces import Traces

BODY_ELSEWHERE = {"/openapi.json", "/asyncapi.json", "/docs", "/ui"}
NAMED = ("v1 blue", "red", "yellow", "gold", "canceled when charged", "canceled before charge")


async def shop(seen: Seen) -> None:
    observed, environ, traces = Observed(_is_held_back), seen.environ("main"), Traces()
    async with observed_suite({**environ, **NO_REMINDERS}, observed, traces) as suite:
        targets = suite.services.targets
        async with gateway(targets, environ, traces=traces) as client:
            for file in (LEGACY, RESOURCES, GATEWAY):
                for case, line, body, headers in getattr(cases, file)():
                    show = line.split()[1] not in BODY_ELSEWHERE and case != "a browser"
                    await seen.http(client, file, case, line, body, headers=headers, show=show)
            await _legacy(seen, client, observed)
            await _resources(seen, client, observed)
            await _orders(seen, client, observed)
            await suite.balances()
            await _streams(seen, client, observed)
        await gateways(seen, targets, environ, observed)
        await operators(seen, suite, observed, environ, NAMED)
        rows = await suite.backend.tables.page("SimulatedProvider", "", 10)
    observed.stored += [(key.kind, key.name, row.entity, 0.0) for key, row in rows]
    seen.record("", observed, exact=True)


def _is_held_back(_: str, message: Message) -> bool:
    """Withhold the replies for orders of four blue ones (payment) and of five (reservation)."""
    body = body_of(message)
    held = {"paid": [{"itemid": "blue", "count": 4}], "reserved": [{"itemid": "blue", "count": 5}]}
    return held.get(body.get("status", "")) == body.get("cart_items", ())


async def _legacy(seen: Seen, client: httpx.AsyncClient, observed: Observed) -> None:
    services = {
        "get_payment": "payment",
        "get_delivery": "delivery",
        "get_item": "stock",
        "list_items": "stock",
    }

    async def call(case: str, method: str, body: object) -> httpx.Response:
        line = f"POST /{services.get(method, 'purchase')}/api/{method}"
        return await seen.http(client, LEGACY, case, line, body)

    for case, method, body in cases.LEGACY_CART:
        answer = await call(case, method, body)
    orderid = seen.name(answer.json()["order_ticket"]["orderid"], "legacy blue")
    await seen.settled(observed, orderid)
    for case, method in cases.LEGACY_ORDER:
        await call(case, method, {"orderid": orderid})
    for case, method, body in cases.LEGACY_AFTERWARDS:
        await call(case, method, body)


async def _resources(seen: Seen, client: httpx.AsyncClient, observed: Observed) -> None:
    async def call(case: str, line: str, body: object, key: str) -> httpx.Response:
        headers = {"Idempotency-Key": key} if key else {}
        return await seen.http(client, RESOURCES, case, line, body, headers=headers)

    for each in cases.RESOURCE_CART:
        await call(*each)
    etag = (await call("a cart", f"GET {cases.V1}", None, "")).headers["etag"]
    for known in (etag, f"W/{etag}", f'"other", {etag}', "*", '"other"'):
        headers = {"If-None-Match": known}
        await seen.http(client, RESOURCES, "known", f"GET {cases.V1}", headers=headers)
    for each in cases.RESOURCE_ORDER:
        answer = await call(*each)
    orderid = seen.name(answer.json()["orderid"], "v1 blue")
    await seen.settled(observed, orderid)
    for case, line, body, key in cases.RESOURCE_AFTERWARDS:
        await call(case, line.format(orderid=orderid), body, key)


async def _orders(seen: Seen, client: httpx.AsyncClient, observed: Observed) -> None:
    for name, items in (
        ("red", {"red": 1}),
        ("yellow", {"yellow": 1}),
        ("gold", {"gold": 1}),
        ("mixed", {"blue": 2, "red": 1}),
        ("two of them missing", {"blue": 1, "yellow": 2, "purple": 1}),
    ):
        orderid = await seen.order(client, name, **items)
        await seen.settled(observed, orderid)
        await _read(seen, client, name, orderid)
    charged = await seen.order(client, "canceled when charged", blue=4)
    await eventually(lambda: observed.status(PAYMENT, charged) == "charged")
    early = await seen.order(client, "canceled before charge", blue=5)
    await eventually(lambda: observed.status(RESERVATION, early) == "reserved" and observed.all_sent())
    assert (observed.status(TICKET, charged), observed.status(TICKET, early)) == ("reserved", "pre-approved")
    for name, orderid in (("reserved", charged), ("pre-approved", early)):
        await _read(seen, client, name, orderid)
        await seen.http(client, ORDERS, name, f"GET /v1/orders/{orderid}?wait=0.1")
    await open_orders(seen, [charged, early], seen.environ("main"))
    for name, orderid in (("canceled when charged", charged), ("canceled before charge", early)):
        cancel, key = f"POST /v1/orders/{orderid}:cancel", {"Idempotency-Key": "c"}
        for case, headers in (("canceled", key), ("repeated", key), ("again", {})):
            await seen.http(client, ORDERS, f"{name}: {case}", cancel, headers=headers)
        await seen.settled(observed, orderid)
        await _read(seen, client, name, orderid)


async def _read(seen: Seen, client: httpx.AsyncClient, case: str, orderid: str) -> None:
    for line in (f"GET /v1/orders/{orderid}", f"GET /v1/orders/{orderid}/history"):
        await seen.http(client, ORDERS, case, line)
    for path in ("purchase/api/get_order_ticket", "purchase/api/get_order_history"):
        await seen.http(client, ORDERS, case, f"POST /{path}", {"orderid": orderid})
    for path in ("payment/api/get_payment", "delivery/api/get_delivery"):
        await seen.http(client, ORDERS, case, f"POST /{path}", {"orderid": orderid})


async def _streams(seen: Seen, client: httpx.AsyncClient, observed: Observed) -> None:
    for name in NAMED:
        line = f"GET /v1/orders/{seen.id(name)}/events"
        whole = await seen.http(client, STREAM, name, line)
        ids = re.findall(r"id: (.*)", whole.text)
        for case, last in (("resumed", ids[1]), ("before the end", ids[-2]), ("ended", ids[-1])):
            await seen.http(client, STREAM, f"{name}: {case}", line, headers={"Last-Event-ID": last})
    nonsense = {"Last-Event-ID": "x.y z,,<>,purchase."}
    await seen.http(client, STREAM, "nonsense", line, headers=nonsense)
    orderid = await seen.order(client, "live", blue=3)
    live = await client.get(f"/v1/orders/{orderid}/events")
    # The order of arrival varies, and so do the ids, which contain it: they are left out.
    lines = sorted(each for each in live.text.splitlines() if each.startswith(("data:", "event:")))
    seen.files["rest/live.txt"] = seen.names("\n".join(lines)) + "\n"
    await seen.settled(observed, orderid)
