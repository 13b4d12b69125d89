"""Drives suites through everything that is recorded, and returns it as files: name -> text."""

import asyncio
import re
from collections import Counter, defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
from structlog.testing import capture_logs

from tests.golden import cases
from tests.golden.http import Http
from tests.golden.suite import Message, Watched, body_of, gateway, sagactl, watched_suite
from tests.golden.text import Names, openapi, stored
from tests.service.gateway_harness import Refusal
from tests.service.gateway_harness import suite as fake_suite
from tests.support.eventually import eventually
from tests.support.issuer import an_issuer
from tests.support.suite import Suite
from tests.support.traces import Traces

LEGACY, RESOURCES, GATEWAY, LIMITS, AUTH = "legacy", "resources", "gateway", "limits", "authentication"
WAITING, STREAM, FAILURES = "orders", "stream", "failures"
DEAD = "com.example.dead-letter"
REMINDED = {
    ("purchase", "pre-approved"),
    ("purchase", "approved"),
    ("stock", "reserved"),
    ("stock", "paid"),
    ("payment", "paid"),
}
NO_REPEAT = {"REMINDER_INTERVAL_SECONDS": "60", "SWEEP_SECONDS": "0.2"}


class Drive:
    """Collects what is seen under readable names."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.names = Names()
        self.http = Http(self.names)
        self.files: dict[str, str] = {}
        self._printed: list[str] = []

    async def run(self) -> dict[str, str]:
        with capture_logs():  # else they are among what commands print
            await asyncio.gather(self._main(), self._reminders(), self._signed_in(), self._fakes())
        rest = {f"rest/{name}.txt": text for name, text in self.http.files().items()}
        sagactl = {"sagactl.txt": self.names("\n".join(self._printed))}
        return {**rest, **sagactl, **self.files}

    def _environ(self, name: str) -> dict[str, str]:
        return {"BACKEND": "embedded", "EMBEDDED_FILE": str(self._directory / f"{name}.sqlite3")}

    # -- the main suite: traced, nothing is lost but what is held back, nobody is reminded

    async def _main(self) -> None:
        held: set[tuple[str, str]] = set()
        """(itemid:count, status) of events that nobody is to hear."""
        watched = Watched(lambda _, message: _known(message) in held)
        environ, traces = self._environ("main"), Traces()
        async with watched_suite({**environ, **NO_REPEAT}, watched, traces) as suite:
            targets = suite.services.targets
            async with gateway(targets, environ, traces=traces) as client:
                await self._cases(client)
                await self._legacy(client, watched)
                await self._resources(client, watched)
                held |= {("blue:4", "paid"), ("blue:5", "reserved")}
                await self._orders(client, suite, watched, environ)
                await self._streams(client, watched)
            await self._gateways(targets, environ)
            await self._sagactl(suite, watched, environ)
            rows = await suite.backend.tables.page("SimulatedProvider", "", 10)
        watched.stored += [(key.kind, key.name, row.entity, 0.0) for key, row in rows]
        self._record("", watched, exact=True)

    async def _cases(self, client: httpx.AsyncClient) -> None:
        for file, some in (
            (LEGACY, cases.legacy()),
            (RESOURCES, cases.resources()),
            (GATEWAY, cases.gateway()),
        ):
            for case, line, body, headers in some:
                page = line.split()[1] in {"/openapi.json", "/docs", "/ui"} or case == "a browser"
                await self.http(client, file, case, line, body, headers=headers, show=not page)

    async def _legacy(self, client: httpx.AsyncClient, watched: Watched) -> None:
        async def call(case: str, method: str, show: bool = True, **body: Any) -> Any:
            service = {"get_payment": "payment", "get_delivery": "delivery", "get_item": "stock"}
            service["list_items"] = "stock"
            line = f"POST /{service.get(method, 'purchase')}/api/{method}"
            return (await self.http(client, LEGACY, case, line, body, show=show)).json()

        cart = {"cartid": "L1"}
        await call("a new cart", "create_cart", **cart)
        await call("the same cart", "create_cart", **cart)
        await call("an empty cart", "get_cart", **cart)
        await call("an empty cart", "get_cart_contents", **cart)
        await call("not closed", "checkout", **cart)
        await call("three blue", "add_item", **cart, itemid="blue", count=3, commandid="one")
        await call("repeated", "add_item", **cart, itemid="blue", count=3, commandid="one")
        await call("under a used name", "add_item", **cart, itemid="blue", count=4, commandid="one")
        await call("one red", "add_item", **cart, itemid="red", count=1)
        await call("too many", "add_item", **cart, itemid="blue", count=1_000_000)
        await call("gone again", "remove_item", **cart, itemid="red")
        await call("not in it", "remove_item", **cart, itemid="red")
        await call("what is in it", "get_cart_contents", **cart)
        await call("closed", "close_cart", **cart)
        await call("closed again", "close_cart", **cart)
        await call("it is closed", "add_item", **cart, itemid="blue", count=1)
        await call("it is closed", "remove_item", **cart, itemid="blue")
        opened = await call("an order", "checkout", **cart)
        orderid = self._name(opened["order_ticket"]["orderid"], "legacy blue")
        await self._settled(watched, orderid)
        order = {"orderid": orderid}
        for case, method in (
            ("approved", "get_order_ticket"),
            ("approved", "get_order_history"),
            ("settled", "get_payment"),
            ("arranged", "get_delivery"),
            ("it has ended", "cancel_order"),
        ):
            await call(case, method, **order)
        await call("the same order", "checkout", **cart)
        await call("it is checked out", "close_cart", **cart)
        await call("it is checked out", "get_cart", **cart)
        await call("it is checked out", "create_cart", **cart)
        await call("closed while empty", "create_cart", cartid="L2")
        await call("closed while empty", "close_cart", cartid="L2")
        await call("closed while empty", "checkout", cartid="L2")
        await call("a catalogue item", "get_item", itemid="gold")
        await call("the first page", "list_items", page_size=2)
        await call("the next page", "list_items", page_size=2, page_token="gold")
        await call("all", "list_items")

    async def _resources(self, client: httpx.AsyncClient, watched: Watched) -> None:
        async def call(case: str, line: str, body: Any = None, **headers: str) -> httpx.Response:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            return await self.http(client, RESOURCES, case, line, body, headers=named)

        cart, key = "/v1/carts/V1", {"Idempotency_Key": '"k1"'}
        await call("a new cart", f"PUT {cart}", **key)
        await call("repeated", f"PUT {cart}", **key)
        await call("the same cart", f"PUT {cart}")
        await call("the same cart", f"PUT {cart}", {})
        await call("not closed", f"POST {cart}:checkout")
        await call("three blue", f"PUT {cart}/items/blue", {"count": 3}, Idempotency_Key="k2")
        await call("repeated", f"PUT {cart}/items/blue", {"count": 3}, Idempotency_Key='"k2"')
        await call("a used key", f"PUT {cart}/items/blue", {"count": 4}, Idempotency_Key="k2")
        await call("a used key", f"POST {cart}:close", **key)
        await call("not too precise", f"PUT {cart}/items/red", {"count": 2.0})
        await call("gone again", f"DELETE {cart}/items/red", Idempotency_Key="k3")
        await call("not in it", f"DELETE {cart}/items/red")
        etag = (await call("a cart", f"GET {cart}")).headers["etag"]
        for known in (etag, f"W/{etag}", f'"other", {etag}', "*", '"other"'):
            await call("known", f"GET {cart}", If_None_Match=known)
        await call("closed", f"POST {cart}:close", Idempotency_Key="k4")
        await call("closed again", f"POST {cart}:close")
        await call("it is closed", f"PUT {cart}/items/blue", {"count": 1})
        await call("it is closed", f"DELETE {cart}/items/blue")
        opened = await call("an order", f"POST {cart}:checkout", Idempotency_Key="k5")
        orderid = self._name(opened.json()["orderid"], "v1 blue")
        await self._settled(watched, orderid)
        await call("the same order", f"POST {cart}:checkout", Idempotency_Key="k5")
        await call("the same order", f"POST {cart}:checkout")
        await call("checked out", f"GET {cart}")
        await call("checked out", f"PUT {cart}")
        await call("checked out", f"POST {cart}:close")
        await call("checked out", f"PUT {cart}/items/blue", {"count": 1})
        order = f"/v1/orders/{orderid}"
        for case, path in (
            ("approved", order),
            ("approved", f"{order}?wait=5"),
            ("history", f"{order}/history"),
        ):
            await call(case, f"GET {path}")
        etag = (await call("approved", f"GET {order}?wait=0.1")).headers["etag"]
        assert (await client.get(order, headers={"If-None-Match": etag})).status_code == 304
        await call("it has ended", f"POST {order}:cancel", Idempotency_Key="k6")
        await call("empty", "PUT /v1/carts/V2")
        await call("empty", "POST /v1/carts/V2:close")
        await call("empty", "POST /v1/carts/V2:checkout")
        await call("the first page", "GET /v1/items?page_size=2")
        await call("the next page", "GET /v1/items?page_size=2&page_token=gold")
        await call("an item", "GET /v1/items/gold")

    # -- every way an order can go

    async def _orders(
        self, client: httpx.AsyncClient, suite: Suite, watched: Watched, environ: Mapping[str, str]
    ) -> None:
        for name, items in (
            ("red", {"red": 1}),
            ("yellow", {"yellow": 1}),
            ("gold", {"gold": 1}),
            ("mixed", {"blue": 2, "red": 1}),
            ("two of them missing", {"blue": 1, "yellow": 2, "purple": 1}),
        ):
            orderid = await self._order(client, name, **items)
            await self._settled(watched, orderid)
            await self._look(client, name, orderid)
        charged = await self._order(client, "canceled when charged", blue=4)
        await eventually(lambda: ("blue:4", "paid") in {_known(message) for _, message in watched.published})
        await eventually(lambda: watched.status("OrderTicket", charged) == "reserved")
        early = await self._order(client, "canceled before charge", blue=5)
        await eventually(lambda: watched.status("Reservation", early) == "reserved")
        await eventually(lambda: not any(kind.endswith("PublishEvent") for kind, _ in watched.rows))
        for name, orderid in (("reserved", charged), ("pre-approved", early)):
            await self._look(client, name, orderid)
            await self._print("order", orderid, environ=environ)
            await self.http(client, WAITING, name, f"GET /v1/orders/{orderid}?wait=0.1")
        await self._print("stuck", environ=environ)
        await self._print("stuck", "--older-than", "3600", environ=environ)
        await self._print("audit", environ=environ, ordered=False)
        for name, orderid in (("canceled when charged", charged), ("canceled before charge", early)):
            cancel = f"POST /v1/orders/{orderid}:cancel"
            for case in (f"{name}: canceled", f"{name}: repeated"):
                await self.http(client, WAITING, case, cancel, headers={"Idempotency-Key": "c"})
            await self.http(client, WAITING, f"{name}: again", cancel)
            await self._settled(watched, orderid)
            await self._look(client, name, orderid)
        await suite.balances()

    async def _look(self, client: httpx.AsyncClient, case: str, orderid: str) -> None:
        await self.http(client, WAITING, case, f"GET /v1/orders/{orderid}")
        await self.http(client, WAITING, case, f"GET /v1/orders/{orderid}/history")
        for service, method in (
            ("purchase", "get_order_ticket"),
            ("purchase", "get_order_history"),
            ("payment", "get_payment"),
            ("delivery", "get_delivery"),
        ):
            line = f"POST /{service}/api/{method}"
            await self.http(client, WAITING, case, line, {"orderid": orderid})

    async def _order(self, client: httpx.AsyncClient, name: str, headers: Any = None, **items: int) -> str:
        cart = f"/v1/carts/{name.replace(' ', '-')}"
        await client.put(cart, headers=headers)
        for itemid, count in items.items():
            await client.put(f"{cart}/items/{itemid}", json={"count": count}, headers=headers)
        await client.post(f"{cart}:close", headers=headers)
        answer = await client.post(f"{cart}:checkout", headers=headers)
        return self._name(answer.json()["orderid"], name)

    def _name(self, orderid: str, name: str) -> str:
        self.names.of[orderid] = f"<order {name}>"
        return orderid

    async def _settled(self, watched: Watched, orderid: str) -> None:
        """Return once nothing more happens to an order."""

        def is_settled() -> bool:
            ticket = watched.rows.get(("OrderTicket", orderid), {})
            ended = {"approved", "reserve-failed", "payment-failed", "canceled"}
            waits = [
                watched.rows.get((kind, orderid), {}) for kind in ("OrderTicket", "Reservation", "Payment")
            ]
            open_ = any("due" in row for row in waits)
            needs = {"canceled": "Payment"}.get(ticket.get("status", ""))
            published = not any(kind.endswith("PublishEvent") for kind, _ in watched.rows)
            known = not needs or (needs, orderid) in watched.rows
            return ticket.get("status") in ended and not open_ and known and published

        await eventually(is_settled, 30)

    async def _streams(self, client: httpx.AsyncClient, watched: Watched) -> None:
        for name in ("v1 blue", "red", "yellow", "gold", "canceled when charged", "canceled before charge"):
            path = f"GET /v1/orders/{self._id(name)}/events"
            whole = await self.http(client, STREAM, name, path)
            seen = re.findall(r"id: (.*)", whole.text)
            for case, last in (("resumed", seen[1]), ("before the end", seen[-2]), ("ended", seen[-1])):
                await self.http(client, STREAM, f"{name}: {case}", path, headers={"Last-Event-ID": last})
        await self.http(client, STREAM, "nonsense", path, headers={"Last-Event-ID": "x.y z,,<>,purchase."})
        orderid = await self._order(client, "live", blue=3)
        live = await client.get(f"/v1/orders/{orderid}/events")
        lines = sorted(line for line in live.text.splitlines() if line.startswith(("data:", "event:")))
        self.files["rest/live.txt"] = self.names("\n".join(lines)) + "\n"
        await self._settled(watched, orderid)

    def _id(self, name: str) -> str:
        return next(orderid for orderid, known in self.names.of.items() if known == f"<order {name}>")

    # -- gateways that are set up otherwise

    async def _gateways(self, targets: Mapping[str, str], environ: Mapping[str, str]) -> None:
        events, item = f"GET /v1/orders/{self._id('red')}/events", "GET /v1/items/gold"
        async with gateway(targets, {}) as client:
            await self.http(client, STREAM, "no broker", events)
            await self.http(client, STREAM, "no broker", f"GET /v1/orders/{self._id('red')}?wait=1")
        for case, limits in (
            ("per client", {"RATE_PER_CLIENT": "1"}),
            ("overall", {"RATE_OVERALL": "1", "TRUSTED_PROXIES": "1"}),
        ):
            async with gateway(targets, limits) as client:
                for number in range(3):
                    forwarded = {"X-Forwarded-For": f"198.51.100.{number}"}
                    await self.http(client, LIMITS, case, item, headers=forwarded)
                for line in ("GET /healthz", "GET /ui/config", "GET /", "GET /v1/nothing"):
                    await self.http(client, LIMITS, case, line)
        async with gateway(targets, {**environ, "MAX_STREAMS": "1"}) as client:
            held = asyncio.create_task(client.get(f"/v1/orders/{await self._open(client)}?wait=5"))
            await asyncio.sleep(0.2)
            await self.http(client, STREAM, "too many followers", events)
            held.cancel()
        cors = {"CORS_ORIGINS": "https://shop.example", "TRACE_URL": "https://t.example/{trace_id}"}
        async with gateway(targets, cors) as client:
            origin = {"Origin": "https://shop.example"}
            asked = {
                "Access-Control-Request-Method": "PUT",
                "Access-Control-Request-Headers": "Idempotency-Key",
            }
            await self.http(client, GATEWAY, "CORS", item, headers=origin)
            await self.http(client, GATEWAY, "CORS, another", item, headers={"Origin": "https://x.example"})
            await self.http(
                client, GATEWAY, "CORS, asked", "OPTIONS /v1/carts/x", headers={**origin, **asked}
            )
            await self.http(client, GATEWAY, "with a trace URL", "GET /ui/config")
        async with gateway(targets, {}, draining=True) as client:
            for line in ("GET /readyz", "GET /healthz", item):
                await self.http(client, GATEWAY, "draining", line)
        async with gateway({}, {"REQUEST_TIMEOUT_SECONDS": "3"}) as client:
            for line in ("GET /readyz", "GET /readyz?all=true", "GET /v1/carts/x", events):
                await self.http(client, "unreachable", "nothing behind it", line)

    async def _open(self, client: httpx.AsyncClient) -> str:
        return await self._order(client, "held for ever", blue=5)

    # -- what operators see

    async def _sagactl(self, suite: Suite, watched: Watched, environ: Mapping[str, str]) -> None:
        await self._settle_held(suite, watched)
        for name in ("v1 blue", "red", "yellow", "gold", "canceled when charged", "canceled before charge"):
            await self._print("order", self._id(name), environ=environ)
        await self._print("order", "nothing", environ=environ)
        await self._print("stuck", environ=environ)
        await self._print("audit", environ=environ)
        for arguments in ([], ["--delay", "0.5", "--loses-answers"], ["--away"], ["--here", "--answers"]):
            await self._print("provider", *arguments, environ=environ)
        stock = {**environ, "STOCK_ADDRESS": suite.services.targets["stock"].removeprefix("ipv4:")}
        await self._print("seed", environ=stock)
        await self._print("stock", "set", "green", "--price", "7", "--stock", "9", environ=stock)
        await self._print("stock", "set", "green", "--waives-payment", "--shards", "2", environ=stock)
        await self._print("stock", "set", "gold", "--stock", "0", environ=stock)
        await self._dead_letters(suite, watched, environ)

    async def _settle_held(self, suite: Suite, watched: Watched) -> None:
        from rpc.purchase_pb2 import CancelOrderRequest

        orderid = self._id("held for ever")
        await eventually(lambda: watched.status("Reservation", orderid) == "reserved")
        await suite.purchase.CancelOrder(CancelOrderRequest(orderid=orderid))
        await self._settled(watched, orderid)

    async def _dead_letters(self, suite: Suite, watched: Watched, environ: Mapping[str, str]) -> None:
        unknown = b'{"orderid": "nobody", "status": "paid", "cart_items": [{"itemid": "blue", "count": 1}]}'
        for eventid, body in (
            ("e-json", b"rubbish"),
            ("e-item", b'{"orderid": "o", "status": "paid", "cart_items": [{"itemid": "?", "count": 1}]}'),
            ("e-order", unknown),
        ):
            attributes = {"eventid": eventid, "type": "purchase.OrderTicket", "time": "t", "googclient": "x"}
            await suite.backend.bus.publish("com.example.delivery", [Message(body, attributes)])
        letters = watched.published
        await eventually(lambda: sum(topic == DEAD for topic, _ in letters) == 3)
        await eventually(lambda: self._letters(environ, 3))
        for arguments in (["list"], ["show"], ["list", "--reason", "malformed"], ["redrive"]):
            await self._print("dlq", *arguments, environ=environ, ordered=False)
        await self._print("dlq", "redrive", "--event", "e-order", "--execute", environ=environ)
        await eventually(lambda: self._letters(environ, 3))
        await self._print("dlq", "list", "--event", "e-order", environ=environ)
        await self._print("dlq", "show", "--event", "e-order", environ=environ)
        await self._print("dlq", "drop", environ=environ, ordered=False)
        await self._print("dlq", "drop", "--execute", "--reason", "unknown", environ=environ)
        await self._print("dlq", "drop", "--execute", environ=environ, ordered=False)
        await self._print("dlq", "list", environ=environ)

    async def _letters(self, environ: Mapping[str, str], count: int) -> bool:
        return (await sagactl(environ, "dlq", "list")).count("\n") == count + 1

    async def _print(self, *arguments: str, environ: Mapping[str, str], ordered: bool = True) -> None:
        text = await sagactl(environ, *arguments)
        text = re.sub(r"\b\d+m \d\ds\b", "<age>", text)
        lines = self.names(text).splitlines()
        if not ordered:
            lines.sort()
        self._printed.append("\n".join([f"## sagactl {' '.join(arguments)}", *lines, ""]))

    # -- reminders: everything is lost that is repeated as one, and the first of every other event

    async def _reminders(self) -> None:
        lost: Counter[tuple[str, ...]] = Counter()

        def loses(topic: str, message: Message) -> bool:
            body = body_of(message)
            event = topic, body["orderid"], body["status"]
            lost[event] += 1
            reminded = (topic.rpartition(".")[2], body["status"]) in REMINDED
            return "again" not in message.attributes if reminded else lost[event] == 1

        watched = Watched(loses)
        environ = self._environ("reminders")
        async with watched_suite(
            {**environ, "REMINDER_INTERVAL_SECONDS": "0.4", "SWEEP_SECONDS": "0.1"}, watched
        ) as suite:
            async with gateway(suite.services.targets, {}) as client:
                orders = [
                    await self._order(client, f"{itemid} with losses", **{itemid: 1})
                    for itemid in ("blue", "red", "gold", "yellow")
                ]
            for orderid in orders:
                await self._settled(watched, orderid)
            await suite.balances()
        self._record("reminders-", watched, exact=False)

    # -- signing in; and nobody answers before the deadline

    async def _signed_in(self) -> None:
        watched = Watched(lambda _, message: body_of(message).get("status") == "reserved")
        with an_issuer() as issuer:
            environ = {**self._environ("signed-in"), **issuer.environ}
            operator = issuer.token("root", scope="saga.operator")
            quick = {"ORDER_DEADLINE": "2", **NO_REPEAT}
            async with watched_suite({**environ, **quick}, watched, operator_token=operator) as suite:
                async with gateway(suite.services.targets, environ) as client:
                    await self._who(client, watched, issuer, operator)
                    document = (await client.get("/openapi.json")).json()
                secure = {**environ, "ENVIRONMENT": "production", "AUTH_ISSUER": "https://issuer.example"}
                async with gateway(suite.services.targets, secure) as client:
                    await self.http(client, AUTH, "production", "GET /healthz")
        self.files["openapi.txt"] = "\n".join(openapi(document)) + "\n"
        self._record("signed-in-", watched, exact=False)

    async def _who(self, client: httpx.AsyncClient, watched: Watched, issuer: Any, operator: str) -> None:
        alice, bob = ({"Authorization": f"Bearer {issuer.token(sub)}"} for sub in ("alice", "bob"))
        orderid = await self._order(client, "of alice", alice, blue=3)
        for case, headers in (
            ("no token", []),
            ("another scheme", {"Authorization": "Basic YQ=="}),
            ("an empty token", {"Authorization": "Bearer "}),
            ("rubbish", {"Authorization": "Bearer e.e"}),
            ("expired", {"Authorization": f"Bearer {issuer.token(exp=1)}"}),
            ("another audience", {"Authorization": f"Bearer {issuer.token(aud='x')}"}),
            ("no subject", {"Authorization": f"Bearer {issuer.token(sub='')}"}),
            ("two tokens", [("Authorization", "Bearer e.e"), ("Authorization", "Bearer e.e")]),
        ):
            await self.http(client, AUTH, case, "GET /v1/items/gold", headers=headers)
        for path in ("/", "/healthz", "/readyz", "/ui/config", "/v1/nothing", "/no/such/path"):
            await self.http(client, AUTH, "no token", f"GET {path}")
        await eventually(lambda: watched.status("Reservation", orderid) == "released", 30)
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
                await self.http(client, AUTH, who, line, body, headers=headers)

    # -- what services say that only fakes can be made to say

    async def _fakes(self) -> None:
        import grpc

        for code in grpc.StatusCode:
            if code is grpc.StatusCode.OK:
                continue
            failing = [Refusal(code, "10.1.2.3 says no")]
            async with fake_suite(GetCart=failing, CancelOrder=failing) as (client, _):
                name = code.name
                await self.http(client, FAILURES, name, "POST /purchase/api/get_cart", {"cartid": "x"})
                await self.http(client, FAILURES, name, "GET /v1/carts/x")
                await self.http(client, FAILURES, name, "POST /v1/orders/x:cancel")
        async with fake_suite(GetCart=[asyncio.Event().wait], timeout_seconds=0.2) as (client, _):
            await self.http(client, FAILURES, "too slow", "GET /v1/carts/x")

    # -- what was published and stored

    def _record(self, prefix: str, watched: Watched, *, exact: bool) -> None:
        for topic, message in watched.published:
            body, attributes = body_of(message), message.attributes
            order = self.names.of.get(body.get("orderid", ""), "")
            label = f"<event {topic.rpartition('.')[2]} {body.get('status')} of {order}>"
            self.names.of.setdefault(attributes["eventid"], label)
        published = defaultdict(set)
        for topic, message in watched.published:
            attributes = dict(sorted(message.attributes.items()))
            order = self.names.of.get(body_of(message).get("orderid", ""), "")
            published[order].add(self.names(f"{topic} {attributes} {message.data!r}"))
        lines = [
            line for order in sorted(published) for line in (f"## {order}", *sorted(published[order]), "")
        ]
        self.files[f"{prefix}events.txt"] = "\n".join(lines)
        kept = [each for each in watched.stored if exact or not each[0].endswith("ReceivedEvent")]
        rows = {stored(*each, names=self.names, exact=exact) for each in kept}
        self.files[f"{prefix}entities.txt"] = "\n".join(sorted(rows)) + "\n"


def _bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def _contents(body: Mapping[str, Any]) -> str:
    return ",".join(f"{item['itemid']}:{item['count']}" for item in body.get("cart_items", ()))


def _known(message: Message) -> tuple[str, str]:
    body = body_of(message)
    return _contents(body), body.get("status", "")
