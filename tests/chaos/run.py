"""A suite from its start to the verdict on it, and the figures."""

import asyncio
import shutil
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.chaos import checks
from tests.chaos.cluster import Backend, Cluster, embedded, emulators, running_cluster
from tests.chaos.customers import Customers, open_customers
from tests.chaos.faults import Faults
from tests.chaos.overload import Overload
from tests.chaos.recovery import Recovery
from tests.chaos.schedule import FaultSchedule

CUSTOMERS = 6
SETTLE_SECONDS = 120.0
"""What an order may take in the end, on top of the pause before its next repeat: no longer than the run."""
QUICK_REPEATS = {"REMINDER_INTERVAL_SECONDS": "3", "SWEEP_SECONDS": "2"}
"""In a storm that empties the broker again and again the pauses would double up to minutes."""
CHECK_INTERVAL_SECONDS = 1.0
BACKLOG = 5
"""How much longer than an overload lasted what was accepted may take to end."""
MOST_REPEATED = 0.5
"""Last words per order of an overload: a backlog that is repeated grows."""


class ChaosRun:
    """`problems` is empty where every promise was kept."""

    def __init__(self, seed: int, backend: str) -> None:
        """`backend`: emulators; or embedded, where nothing goes wrong on the way."""
        self._seed = seed
        self._backend = {"emulators": emulators, "embedded": embedded}[backend]
        self._faults = Faults(seed)
        self.logs = Path(tempfile.mkdtemp(prefix="chaos-"))
        """SupervisedProcess where there are problems."""
        self.problems: list[str] = []
        self.figures: dict[str, Any] = {}

    async def storm(self, kills: int) -> None:
        """So many kills, with everything going wrong at once."""
        async with self._suite(QUICK_REPEATS) as (cluster, _):
            storm = FaultSchedule(cluster, self._faults, self._seed)
            await storm.rage(kills)
            self.figures |= {
                "kills": dict(sorted(storm.kills.items())),
                "frozen beyond a lease": storm.frozen,
                "broker emptied": storm.broker_restarts,
                "faults": {str(what): times for what, times in sorted(self._faults.counts.items())},
            }

    async def calm(self, kills: int) -> None:
        """So many kills, and some restarts of the broker, each once the suite has recovered from the last."""
        async with self._suite({}) as (cluster, shop):
            recovery = Recovery(cluster, FaultSchedule(cluster, self._faults, self._seed), shop)
            self.figures |= {
                "recovery from a kill": _quantiles(await recovery.from_kills(kills)),
                "recovery from an empty broker": _quantiles(await recovery.from_empty_brokers(kills // 5)),
            }

    async def overload(self, seconds: float) -> None:
        """Ten times the customers that keep the suite busy, for so long."""
        async with self._suite({}, customers=0) as (cluster, shop):
            overload = Overload(cluster, shop, self._seed)
            self.figures |= await overload.figures(seconds, SETTLE_SECONDS + BACKLOG * seconds)
            repeats = self._logged("reminder published")
            self.figures["last words repeated"] = repeats
            self.problems += overload.problems
            if repeats > MOST_REPEATED * len(shop.ledger):
                self.problems.append(f"{repeats} last words repeated, for {len(shop.ledger)} orders")

    def _logged(self, event: str) -> int:
        return sum(log.read_text().count(f'"message": "{event}"') for log in self.logs.glob("*.log"))

    @asynccontextmanager
    async def _suite(
        self, environ: Mapping[str, str], customers: int = CUSTOMERS
    ) -> AsyncIterator[tuple[Cluster, Customers]]:
        """A suite under load; afterwards it is judged."""
        began = time.monotonic()
        async with (
            self._backend(self.logs, self._faults) as backend,
            running_cluster(self.logs, backend, environ, self.problems) as cluster,
            open_customers(cluster.gateways, cluster.environ, self._seed, customers) as shop,
        ):
            yield cluster, shop
            ran = time.monotonic() - began
            await shop.close()
            await self._judge(backend, shop, SETTLE_SECONDS + ran)
            self.figures |= _of_orders(shop, ran)
        if not self.problems:
            shutil.rmtree(self.logs)

    async def _judge(self, backend: Backend, shop: Customers, patience_seconds: float) -> None:
        deadline = time.monotonic() + patience_seconds
        found = await checks.of_books(shop.tables)
        while found and time.monotonic() < deadline:
            await asyncio.sleep(CHECK_INTERVAL_SECONDS)
            found = await checks.of_books(shop.tables)
        self.problems += [
            *found,
            *checks.of_customers(shop.ledger, await checks.read_tickets(shop.tables)),
            *shop.problems,
            *await checks.of_dead_letters(backend.direct),
        ]


def _of_orders(shop: Customers, seconds: float) -> dict[str, Any]:
    return {
        "seconds under load": round(seconds),
        "orders accepted": len(shop.ledger),
        "endings": dict(sorted(Counter(order.ending for order in shop.ledger.values()).items())),
        "order open for": _quantiles([order.seconds for order in shop.ledger.values()]),
    }


def _quantiles(seconds: Sequence[float]) -> dict[str, float]:
    if not seconds:
        return {}
    ordered = sorted(seconds)
    return {
        "times": len(ordered),
        "p50_s": round(statistics.median(ordered), 2),
        "p99_s": round(ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))], 2),
        "longest_s": round(ordered[-1], 2),
    }
