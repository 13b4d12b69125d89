"""A benchmark run: suites with empty tables, and the figures measured so far."""

import tempfile
import uuid
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bench.figures import Figures, quantiles
from bench.orders import Clients, NextItem, always, one_at_a_time, subscribed
from bench.proxy import proxied
from bench.suite import RunningSuite, running_suite
from bench.usage import usage_figures
from bench.wire import Meter, metering

RED, BLUE = "red", "blue"
HOPS = {RED: 2, BLUE: 3}
RED_ONLY = always(RED)
EMULATORS = ("DATASTORE_EMULATOR_HOST", "PUBSUB_EMULATOR_HOST")
WARM_ORDERS = 30
"""Sequential orders before anything is measured."""


@dataclass(slots=True)
class BenchRun:
    """Starts suites on one backend and keeps their figures."""

    environ: Mapping[str, str]
    """Selects the backend, except for the project."""
    idle_orders: int
    orders_per_client: int
    rounds: int = 2
    """Rounds of measurements that are compared with each other and therefore alternate."""
    results: dict[str, Figures] = field(default_factory=dict)

    @property
    def on_emulators(self) -> bool:
        return bool(self.hosts)

    @property
    def hosts(self) -> dict[str, str]:
        """The emulators' addresses, by the variables that name them."""
        return {name: self.environ[name] for name in EMULATORS if name in self.environ}

    @asynccontextmanager
    async def suite(self, **more: str) -> AsyncIterator[RunningSuite]:
        """Start and warm up a suite in a new project; afterwards everything must balance."""
        with tempfile.TemporaryDirectory(prefix="bench-") as directory:
            project = {"GOOGLE_CLOUD_PROJECT": f"bench-{uuid.uuid4().hex[:8]}"} if self.on_emulators else {}
            environ = {**self.environ, **project, **more}
            async with running_suite(Path(directory), environ, self.hosts) as suite:
                for itemid in HOPS:
                    await one_at_a_time(suite.gateway, itemid, WARM_ORDERS // 2)
                yield suite
                await suite.audited()

    @asynccontextmanager
    async def metered(self, meter: Meter, **more: str) -> AsyncIterator[RunningSuite]:
        """Start a suite that reaches the emulators through metering proxies."""
        async with AsyncExitStack() as stack:
            proxies = {
                name: await stack.enter_async_context(proxied(host, 0, metering(meter)))
                for name, host in self.hosts.items()
            }
            yield await stack.enter_async_context(self.suite(**proxies, **more))

    async def throughput(
        self, suite: RunningSuite, name: str, clients: int, next_item: NextItem = RED_ONLY
    ) -> None:
        """Measure orders from checkout to approved; keep the best round under `name`."""
        orders = self.orders_of(clients)
        async with subscribed(suite.environ) as endings, Clients(suite.gateway, endings, clients) as load:
            carts = await load.prepare(orders, next_item)
            before = await suite.usage()
            rate, times = await load.check_out(carts)
            after = await suite.usage()
        figures = {
            "orders_per_s": round(rate, 1),
            **quantiles(times.sagas),
            **usage_figures(before, after, orders, rate),
        }
        self.keep(name, figures, lambda each: each["orders_per_s"])

    def orders_of(self, clients: int) -> int:
        """Return the number of orders that this many clients place in a round."""
        return min(clients, 64) * self.orders_per_client

    def keep(self, name: str, figures: Figures, score: Callable[[Figures], float]) -> None:
        """Keep the better of this round and the best one so far; other load only makes rounds worse."""
        if name not in self.results or score(figures) > score(self.results[name]):
            self.results[name] = figures
