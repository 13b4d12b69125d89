"""One trace from the request to the end of the saga, on every backend and across crashes."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import httpx
import pytest
from opentelemetry.trace import SpanKind, StatusCode

from sagakit.backends import Backend
from sagakit.bus import Bus, Message
from sagakit.runtime import Runtime
from services.gateway.app import Lifecycle, create_app
from services.gateway.clients import Clients
from services.gateway.middleware import MiddlewareConfig
from tests.support.eventually import eventually
from tests.support.lossy import losing
from tests.support.suite import NOWHERE, Suite, running_suite
from tests.support.traces import Traces, service_of, trace_id_of

CALLERS = "4bf92f3577b34da6a3ce929d0e0e4736"
TRACEPARENT = f"00-{CALLERS}-00f067aa0ba902b7-01"

BLUE = """
gateway: POST /purchase/api/checkout
  gateway: com.example.service.purchase.Purchase/Checkout
    purchase: com.example.service.purchase.Purchase/Checkout
      purchase: transaction
        purchase: create com.example.purchase
          stock: process com.example.purchase
            stock: transaction
              stock: create com.example.stock
                payment: process com.example.stock
                  payment: transaction
                  payment: transaction
                    payment: create com.example.payment
                      purchase: process com.example.payment
                        purchase: transaction
                          purchase: create com.example.purchase
                            delivery: process com.example.purchase
                              delivery: transaction
                                delivery: create com.example.delivery
                                  purchase: process com.example.delivery
                                    purchase: transaction
                                  delivery: publish com.example.delivery
                            payment: process com.example.purchase
                              payment: transaction
                            stock: process com.example.purchase
                              stock: transaction
                            purchase: publish com.example.purchase
                      payment: publish com.example.payment
                purchase: process com.example.stock
                  purchase: transaction
                stock: publish com.example.stock
          purchase: publish com.example.purchase
"""

RED = """
gateway: POST /purchase/api/checkout
  gateway: com.example.service.purchase.Purchase/Checkout
    purchase: com.example.service.purchase.Purchase/Checkout
      purchase: transaction
        purchase: create com.example.purchase
          stock: process com.example.purchase
            stock: transaction
              stock: create com.example.stock
                purchase: process com.example.stock
                  purchase: transaction
                    purchase: create com.example.purchase
                      delivery: process com.example.purchase
                        delivery: transaction
                          delivery: create com.example.delivery
                            purchase: process com.example.delivery
                              purchase: transaction
                            delivery: publish com.example.delivery
                      payment: process com.example.purchase
                        payment: transaction
                      stock: process com.example.purchase
                        stock: transaction
                      purchase: publish com.example.purchase
                stock: publish com.example.stock
          purchase: publish com.example.purchase
"""

RED_CLAIMED = RED.replace(
    "          stock: process",
    "          purchase: claim PurchasePublishEvent\n          stock: process",
    1,
)


@dataclass(frozen=True, slots=True)
class TracedSuite:
    """A traced suite behind a traced gateway."""

    suite: Suite
    traces: Traces
    client: httpx.AsyncClient

    async def order(self, itemid: str, **headers: str) -> httpx.Response:
        """Check out a cart with the item; return the response."""
        await self.post("create_cart", cartid="c")
        await self.post("add_item", cartid="c", itemid=itemid, count=1)
        await self.post("close_cart", cartid="c")
        return await self.post("checkout", headers, cartid="c")

    async def post(
        self, what: str, headers: Mapping[str, str] | None = None, **body: object
    ) -> httpx.Response:
        answer = await self.client.post(f"/purchase/api/{what}", json=body, headers=headers)
        return answer.raise_for_status()

    async def tree_becomes(self, trace_id: str, expected: str) -> None:
        """Wait for that tree of spans, without handlers that ignored their event."""

        def tree() -> str:
            return without_ignored(self.traces.tree(trace_id))

        with suppress(AssertionError):
            await eventually(lambda: tree() == expected.strip(), 20)
        assert tree() == expected.strip()


def without_ignored(tree: str) -> str:
    """Leave out events that led to no transaction."""
    lines = tree.splitlines()
    depths = [len(line) - len(line.lstrip()) for line in [*lines, ""]]
    return "\n".join(
        line
        for line, depth, following in zip(lines, depths, depths[1:], strict=False)
        if ": process " not in line or following > depth
    )


def trace_id_in(answer: httpx.Response) -> str:
    return answer.headers["traceresponse"].split("-")[1]


@asynccontextmanager
async def traced(
    environ: Mapping[str, str], runtime_of: Callable[[Traces, str], Runtime] = Traces.runtime_of, **more: Any
) -> AsyncIterator[TracedSuite]:
    traces = Traces()
    async with running_suite(environ, runtime_of=partial(runtime_of, traces), **more) as suite:
        tracer = traces.tracer("gateway")
        clients = Clients({"payment": NOWHERE, **suite.services.targets}, 10, tracer)
        transport = httpx.ASGITransport(create_app(clients, Lifecycle(), MiddlewareConfig(tracer=tracer)))
        async with clients, httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            yield TracedSuite(suite, traces, client)


@pytest.mark.parametrize(("itemid", "tree"), [("blue", BLUE), ("red", RED)])
async def test_saga_is_one_trace_that_continues_the_callers(backend_environ, itemid: str, tree: str):
    async with traced(backend_environ) as suite:
        answer = await suite.order(itemid, traceparent=TRACEPARENT)

        await suite.tree_becomes(CALLERS, tree)

    assert trace_id_in(answer) == CALLERS
    spans = suite.traces.of(CALLERS)
    orderid = answer.json()["order_ticket"]["orderid"]
    assert spans[0].parent.span_id == 0x00F067AA0BA902B7
    assert {span.status.status_code for span in spans} == {StatusCode.UNSET}
    assert not any(span.links for span in spans)
    messages = [span for span in spans if span.name != "transaction" and "http.route" not in span.attributes]
    assert {span.attributes.get("orderid") for span in messages} == {orderid}


async def test_message_spans_follow_the_semantic_conventions(backend_environ):
    async with traced(backend_environ) as suite:
        trace_id = trace_id_in(await suite.order("red"))
        await suite.tree_becomes(trace_id, RED)

    create, publish, process = (
        suite.traces.one(trace_id, f"{what} com.example.stock", by)
        for what, by in (("create", "stock"), ("publish", "stock"), ("process", "purchase"))
    )
    eventid = create.attributes["eventid"]
    common = {
        "messaging.system": "a broker",
        "messaging.destination.name": "com.example.stock",
        "messaging.message.id": eventid,
        "eventid": eventid,
        "orderid": create.attributes["orderid"],
    }
    kinds = [span.kind for span in (create, publish, process)]
    assert kinds == [SpanKind.PRODUCER, SpanKind.CLIENT, SpanKind.CONSUMER]
    assert create.attributes == {
        **common,
        "messaging.operation.name": "create",
        "messaging.operation.type": "create",
    }
    assert publish.attributes == {
        **common,
        "messaging.operation.name": "publish",
        "messaging.operation.type": "send",
        "messaging.batch.message_count": 1,
        "attempt": 1,
    }
    assert process.attributes == {
        **common,
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.destination.subscription.name": "purchase-service.com.example.stock",
        "attempt": 1,
        "status": "paid",
        "outcome": "event applied",
    }


class HeldBus:
    """Blocks publishing while `held` is set, so that a process that stops leaves events in the outbox."""

    def __init__(self, bus: Bus, held: asyncio.Event) -> None:
        self._bus = bus
        self._held = held
        self.subscribe = bus.subscribe
        self.subscription_problem = bus.subscription_problem

    async def publish(self, topic: str, messages: Sequence[Message]) -> None:
        if self._held.is_set():
            await asyncio.Event().wait()
        await self._bus.publish(topic, messages)


async def test_event_taken_over_by_another_process_stays_in_its_trace(backend_environ):
    held, minutes = asyncio.Event(), 0

    def later(traces: Traces, service: str) -> Runtime:
        started_at = 60 * minutes
        return replace(traces.runtime_of(service), now=lambda: time.time() + started_at)

    def hold(backend: Backend) -> Backend:
        return replace(backend, bus=HeldBus(backend.bus, held))

    # Without reminders, which would find the order first.
    environ = {**backend_environ, "REMINDER_INTERVAL_SECONDS": "3600"}
    async with traced(environ, later, between=hold) as suite:
        held.set()
        trace_id = trace_id_in(await suite.order("red"))
        await suite.suite.services.stop("purchase")
        held.clear()
        minutes = 1
        await suite.suite.services.start("purchase")

        await suite.tree_becomes(trace_id, RED_CLAIMED)

    claim = suite.traces.one(trace_id, "claim PurchasePublishEvent", "purchase")
    sweep = suite.traces.linked(claim)
    assert (sweep.name, sweep.parent) == ("sweep PurchasePublishEvent", None)
    assert trace_id_of(sweep) != trace_id
    (publish,) = (span for span in suite.traces.of(trace_id) if span.attributes.get("attempt") == 2)
    assert publish.name == "publish com.example.purchase"
    assert suite.traces.linked(publish) == claim
    assert publish.attributes["eventid"] == claim.attributes["name"]


async def test_reminder_stays_in_the_trace_and_links_its_sweep(backend_environ):
    lost = []

    def first_answer(topic: str, status: str) -> bool:
        lost.append(status)
        return lost.count("paid") == 1 and status == "paid"

    async with traced(backend_environ, between=losing(first_answer)) as suite:
        answer = await suite.order("red")
        await suite.suite.ticket_becomes(answer.json()["order_ticket"]["orderid"], "approved")
        await suite.suite.balances()

    spans = suite.traces.of(trace_id_in(answer))
    claims = [span for span in spans if span.name in {"claim OrderTicket", "claim Reservation"}]
    assert claims
    for claim in claims:
        sweep = suite.traces.linked(claim)
        assert sweep.name == claim.name.replace("claim", "sweep")
        assert sweep.parent is None
        assert trace_id_of(sweep) != trace_id_of(claim)
    assert "delivery" in {service_of(span) for span in spans if span.name == "transaction"}


async def test_order_history_names_the_traces_of_its_entries(backend_environ):
    async with traced(backend_environ, without=("payment",)) as suite:
        checkout = await suite.order("blue")
        orderid = checkout.json()["order_ticket"]["orderid"]
        await suite.suite.ticket_becomes(orderid, "reserved")
        cancel = await suite.post("cancel_order", orderid=orderid)
        answer = await suite.client.get(f"/v1/orders/{orderid}/history")

    asked, canceled = trace_id_in(checkout), trace_id_in(cancel)
    assert asked != canceled
    assert [(entry["status"], entry["trace_id"]) for entry in answer.json()["history"]] == [
        ("pre-approved", asked),
        ("reserved", asked),
        ("canceled", canceled),
    ]
