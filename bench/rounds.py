"""A bench: suites, each of a project of its own so that all begin with empty tables, and figures kept."""

import tempfile
import uuid
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bench.figures import Figures, quantiles
from bench.orders import Clients, NextItem, always, one_at_a_time, watched
from bench.proxy import proxied
from bench.suite import RunningSuite, running_suite
from bench.wire import Meter, metering

RED, BLUE = "red", "blue"
HOPS = {RED: 2, BLUE: 3}
RED_ONLY = always(RED)
EMULATORS = ("DATASTORE_EMULATOR_HOST", "PUBSUB_EMULATOR_HOST")
WARM_ORDERS = 30
"""One after the other, before anything is measured."""


@dataclass(slots=True)
class Bench:
    """Makes suites over one backend, and keeps the figures of what they were put through."""

    environ: Mapping[str, str]
    """What names the backend, the project excepted."""
    idle_orders: int
    orders_per_client: int
    rounds: int = 2
    """Of what is compared with one another, in turns."""
    results: dict[str, Figures] = field(default_factory=dict)

    @property
    def on_emulators(self) -> bool:
        return bool(self.hosts)

    @property
    def hosts(self) -> dict[str, str]:
        """The emulators, by the variables that name them."""
        return {name: self.environ[name] for name in EMULATORS if name in self.environ}

    @asynccontextmanager
    async def suite(self, **more: str) -> AsyncIterator[RunningSuite]:
        """A warm suite with empty tables; its books have to balance in the end."""
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
        """A suite whose way to the emulators leads past a meter."""
        async with AsyncExitStack() as stack:
            ways = {
                name: await stack.enter_async_context(proxied(host, 0, metering(meter)))
                for name, host in self.hosts.items()
            }
            yield await stack.enter_async_context(self.suite(**ways, **more))

    async def throughput(
        self, suite: RunningSuite, name: str, clients: int, next_item: NextItem = RED_ONLY
    ) -> None:
        """Orders from checkout to approved, with carts prepared; the best of the rounds under that name."""
        orders = self.orders_of(clients)
        async with watched(suite.environ) as endings, Clients(suite.gateway, endings, clients) as crowd:
            carts = await crowd.prepare(orders, next_item)
            before = await suite.use()
            rate, times = await crowd.check_out(carts)
            after = await suite.use()
        cpu = {
            each: (after[each].cpu_seconds - use.cpu_seconds) * 1000 / orders for each, use in before.items()
        }
        figures = {
            "orders_per_s": round(rate, 1),
            **quantiles(times.sagas),
            "cpu_ms": round(sum(cpu.values()), 1),
            "cpu_ms_of": {each: round(ms, 1) for each, ms in cpu.items()},
            "mb_of": {each: round(use.megabytes) for each, use in after.items()},
        }
        self.keep(name, figures, lambda each: each["orders_per_s"])

    def orders_of(self, clients: int) -> int:
        """How many orders so many clients make in a round."""
        return min(clients, 64) * self.orders_per_client

    def keep(self, name: str, figures: Figures, merit: Callable[[Figures], float]) -> None:
        """The best of the rounds so far: what else the machine does only makes them worse."""
        if name not in self.results or merit(figures) > merit(self.results[name]):
            self.results[name] = figures
