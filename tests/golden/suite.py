"""The names of the code that the golden files need: an observed suite, its gateways, its commands."""

import asyncio
import json
import os
import re
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import httpx
from click.testing import CliRunner

from contract.tickets import PUBLISHED_BY
from contract.topology import TOPOLOGY
from sagactl.__main__ import main
from sagakit.backends import Backend, open_broker
from sagakit.bus import Delivery, Message
from sagakit.runtime import Runtime
from sagakit.tables import Delete, Mutation
from sagakit.telemetry.instruments import NO_METRICS
from services.gateway.__main__ import middleware_config, receiving
from services.gateway.app import Lifecycle, create_app
from services.gateway.clients import Clients
from services.gateway.order_feed.feed import OrderFeeds
from services.gateway.order_feed.snapshot import SnapshotReader
from services.gateway.settings import Settings
from tests.service.gateway_harness import client_of
from tests.support.eventually import eventually
from tests.support.suite import Suite, running_suite
from tests.support.traces import Traces

# Environments of suites and gateways.
NO_REMINDERS = {"REMINDER_INTERVAL_SECONDS": "60", "SWEEP_SECONDS": "0.2"}
REMINDERS = {"REMINDER_INTERVAL_SECONDS": "0.4", "SWEEP_SECONDS": "0.1"}
DEADLINE = {"ORDER_DEADLINE": "2"}
PRODUCTION = {"ENVIRONMENT": "production", "AUTH_ISSUER": "https://issuer.example"}
LIMITED = {
    "per client": {"RATE_PER_CLIENT": "1"},
    "overall": {"RATE_OVERALL": "1", "TRUSTED_PROXIES": "1"},
}
ONE_STREAM = {"MAX_STREAMS": "1"}
PAGES = {"CORS_ORIGINS": "https://shop.example", "TRACE_URL": "https://t.example/{trace_id}"}
SHORT_TIMEOUT = {"REQUEST_TIMEOUT_SECONDS": "3"}

HOP_SECONDS = 0.003
"""Delay of every delivery, so that the consequences of an event have a later time, to the millisecond."""

# The state of an order's rows for which a subscription waits before it delivers an event, so that concurrent
# services always act in the same order.
GATES: dict[tuple[str, str], Callable[["Observed", str], bool]] = {
    ("payment-service.com.example.stock", "reserved"): lambda seen, orderid: (
        seen.status("OrderTicket", orderid) != "pre-approved"
    ),
    ("payment-service.com.example.purchase", "approved"): lambda seen, orderid: (
        seen.status("Reservation", orderid) == "sold"
    ),
    ("payment-service.com.example.purchase", "canceled"): lambda seen, orderid: (
        seen.status("Reservation", orderid) == "released"
    ),
    ("payment-service.com.example.purchase", "payment-failed"): lambda seen, orderid: (
        seen.status("Reservation", orderid) == "released"
    ),
    ("delivery-service.com.example.purchase", "approved"): lambda seen, orderid: (
        seen.status("Reservation", orderid) == "sold" and seen.status("Payment", orderid) in {None, "settled"}
    ),
}


@dataclass
class Observed:
    """The published events and stored entities of a suite."""

    loses: Callable[[str, Message], bool] = lambda _topic, _message: False
    """Whether the broker loses the events of a topic."""
    published: list[tuple[str, Message]] = field(default_factory=list)
    stored: list[tuple[str, str, Mapping[str, Any], float]] = field(default_factory=list)
    """Kind, name, entity and the time of its commit."""
    rows: dict[tuple[str, str], Mapping[str, Any]] = field(default_factory=dict)

    def between(self, backend: Backend) -> Backend:
        return replace(backend, tables=_Tables(self, backend.tables), bus=_Bus(self, backend.bus))

    def all_sent(self) -> bool:
        """Return whether all outboxes are empty."""
        return not any(kind.endswith("PublishEvent") for kind, _ in self.rows)

    def status(self, kind: str, name: str) -> str | None:
        return self.rows.get((kind, name), {}).get("status")


class _Tables:
    def __init__(self, observed: Observed, tables: Any) -> None:
        self._watched = observed
        self._tables = tables

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tables, name)

    async def commit(self, mutations: Sequence[Mutation]) -> None:
        await self._tables.commit(mutations)
        now = Runtime().now()
        for each in mutations:
            if isinstance(each, Delete):
                self._watched.rows.pop((each.key.kind, each.key.name), None)
            else:
                self._watched.stored.append((each.key.kind, each.key.name, each.entity, now))
                self._watched.rows[each.key.kind, each.key.name] = each.entity


class _Bus:
    def __init__(self, observed: Observed, bus: Any) -> None:
        self._watched = observed
        self._bus = bus
        self.subscription_problem = bus.subscription_problem
        self._tasks: set[asyncio.Task[None]] = set()

    async def publish(self, topic: str, messages: Sequence[Message]) -> None:
        self._watched.published += [(topic, each) for each in messages]
        kept = [each for each in messages if not self._watched.loses(topic, each)]
        await self._bus.publish(topic, kept)

    def subscribe(self, name: str, receive: Callable[[Delivery], None], max_outstanding: int) -> Any:
        async def passed_on(delivery: Delivery) -> None:
            body = body_of(delivery.message)
            gate = GATES.get((name, body.get("status", "")), lambda *_: True)
            await eventually(lambda: gate(self._watched, body.get("orderid", "")), pause=HOP_SECONDS)
            await asyncio.sleep(HOP_SECONDS)
            receive(delivery)

        def later(delivery: Delivery) -> None:
            task = asyncio.create_task(passed_on(delivery))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

        return self._bus.subscribe(name, later, max_outstanding)


def body_of(message: Message) -> dict[str, Any]:
    try:
        return dict(json.loads(message.data))
    except ValueError:
        return {}


async def _briefly(seconds: float) -> None:
    """On a busy machine a sweeper would be idle for seconds, which is too long here."""
    await asyncio.sleep(min(seconds, 0.05))


@asynccontextmanager
async def observed_suite(
    environ: Mapping[str, str], observed: Observed, traces: Traces | None = None, **more: Any
) -> AsyncIterator[Suite]:
    runtime_of = traces.runtime_of if traces else lambda _: Runtime(sleep=_briefly)
    # The services of an order, whose answers are recorded; further ones may come.
    others = {"without": [name for name in TOPOLOGY.names if name not in PUBLISHED_BY]}
    more = {**others, "between": observed.between, "runtime_of": runtime_of, **more}
    async with running_suite(environ, **more) as suite:
        yield suite


@asynccontextmanager
async def gateway(
    targets: Mapping[str, str],
    environ: Mapping[str, str],
    *,
    draining: bool = False,
    traces: Traces | None = None,
) -> AsyncIterator[httpx.AsyncClient]:
    """Return a client of a gateway with these settings; without `targets` no service is behind it."""
    unreachable = dict.fromkeys(TOPOLOGY.grpc_services, "ipv4:127.0.0.1:1")
    # Whether further services serve is recorded nowhere: purchase answers for them.
    others = dict.fromkeys(unreachable.keys() - PUBLISHED_BY.keys(), targets.get("purchase", ""))
    addresses = TOPOLOGY.address_environ(unreachable | {**(others if targets else {}), **targets})
    settings = Settings.from_environ({**addresses, **environ})
    tracer = traces.tracer("gateway") if traces else None
    clients = Clients(settings.targets, settings.limits.request_seconds, tracer)
    feeds = OrderFeeds(SnapshotReader(clients).read, Runtime())
    async with AsyncExitStack() as stack:
        if settings.messages is not None:
            messages = await stack.enter_async_context(open_broker(settings.messages, Runtime()))
            await stack.enter_async_context(receiving(messages, feeds, Runtime()))
        app = create_app(
            clients,
            Lifecycle(draining),
            middleware_config(settings, NO_METRICS, tracer),
            feeds if settings.messages else None,
            settings.stream_limits,
            trace_url=settings.trace_url,
        )
        yield await stack.enter_async_context(client_of(app))


async def top_json(environ: Mapping[str, str]) -> str:
    """Return the output of `sagactl top --json`, in a process of its own because it handles signals."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "sagactl", "top", "--json", "--sample-seconds", "0.2"),
        env={**os.environ, **environ},
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await process.communicate()
    return re.sub(r"\d+\.\d+", '"<seconds>"', out.decode())


async def sagactl(environ: Mapping[str, str], *arguments: str) -> str:
    """Return the output of a command and its exit status."""
    result = await asyncio.to_thread(CliRunner().invoke, main, arguments, env=environ, prog_name="sagactl")
    output = re.sub(r"^suite: .*\n", "", result.output, flags=re.MULTILINE)
    return f"{output}exit {result.exit_code}\n"
