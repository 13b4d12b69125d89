"""A chaos run: start the suite, inject faults under load, check the promises, collect figures."""

import asyncio
import json
import shutil
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from sagakit.ctl.local.suite import RECONNECT_SECONDS
from tests.chaos import checks
from tests.chaos.cluster import Backend, Cluster, embedded, emulators, running_cluster
from tests.chaos.customers import Customers, open_customers
from tests.chaos.faults import Faults
from tests.chaos.overload import Overload
from tests.chaos.recovery import Recovery
from tests.chaos.schedule import FaultSchedule
from tests.chaos.versions import CURRENT, FUTURE, Version, planted, version
from tests.support.audit import record_problems

CUSTOMERS = 6
SETTLE_SECONDS = 120.0
"""Maximum time to settle after the faults, on top of the duration of the run."""
QUICK_REMINDERS = {"REMINDER_INTERVAL_SECONDS": "3", "SWEEP_SECONDS": "2"}
"""Because the broker is emptied repeatedly, the intervals would grow to minutes otherwise."""
DRAINING = {"DRAIN_DELAY_SECONDS": "0.3"}
"""For requests that are on their way to a gateway when it is stopped."""
CHECK_INTERVAL_SECONDS = 1.0
BACKLOG_FACTOR = 5
"""Maximum time to finish the orders of an overload, as a multiple of its duration."""
MAX_REMINDERS = 0.5
"""Maximum reminders per order of an overload; reminders would make the backlog grow."""


class ChaosRun:
    """`problems` is empty if every promise was kept."""

    def __init__(self, seed: int, backend: str) -> None:
        """`backend`: emulators, or embedded, on which no faults are injected."""
        self.seed = seed
        self._backend = {"emulators": emulators, "embedded": embedded}[backend]
        self._faults = Faults(seed)
        self.logs = Path(tempfile.mkdtemp(prefix="chaos-"))
        """Directory of the logs; kept if there are problems."""
        self.problems: list[str] = []
        self.figures: dict[str, Any] = {}
        self.redelivered: Counter[str] = Counter()
        """Deliveries that were not the first of their event, by outcome."""

    async def kills(self, kills: int, mixed: str | None = None) -> None:
        """Kill processes `kills` times under load, with all other faults in between.

        `mixed`: the version of half of the processes, if it is another one.
        """
        versions = [CURRENT, version(mixed, self.logs)] if mixed else [CURRENT]
        async with self.suite(QUICK_REMINDERS, versions=versions) as (cluster, _):
            schedule = FaultSchedule(cluster, self._faults, self.seed)
            await schedule.run(kills)
            self.figures |= {
                "kills": dict(sorted(schedule.kills.items())),
                "frozen beyond a lease": schedule.frozen,
                "broker emptied": schedule.broker_restarts,
                "faults": {str(what): times for what, times in sorted(self._faults.counts.items())},
            }

    async def recovery(self, kills: int) -> None:
        """Kill processes and restart the broker one at a time; measure how long recovery takes."""
        async with self.suite({}) as (cluster, load):
            recovery = Recovery(cluster, FaultSchedule(cluster, self._faults, self.seed), load)
            self.figures |= {
                "recovery from a kill": _quantiles(await recovery.from_kills(kills)),
                "recovery from an empty broker": _quantiles(await recovery.from_empty_brokers(kills // 5)),
            }

    async def upgrade(self, other: str, bug: str | None = None) -> None:
        """Start the version `other`; replace its processes by this version's under load, back, and again.

        `bug`: planted in this version, so that there must be problems.
        """
        old, current = version(other, self.logs), planted(bug) if bug else CURRENT
        started_at = time.monotonic()
        async with self.suite(DRAINING, versions=[old]) as (cluster, load):
            replaced = 0
            for each in (current, old, current):
                async for _ in cluster.upgrade(each):
                    replaced += 1
                    await asyncio.sleep(RECONNECT_SECONDS)
            self.figures |= {
                "upgraded": f"{old.name}, {CURRENT.name}, {old.name}, {CURRENT.name}",
                "processes replaced": replaced,
                "seconds": round(time.monotonic() - started_at),
                "requests": load.requests,
                "requests failed": dict(load.failed),
            }
        self.problems += [f"{times} requests: {what}" for what, times in load.failed.items()]
        # The future version's new status is left to newer processes, by being redelivered.
        redelivered = self.redelivered.total() - self.redelivered["event unknown"]
        if redelivered > CUSTOMERS * replaced:
            self.problems.append(f"{redelivered} redelivered, more than were in flight: {self.redelivered}")

    def _redelivered(self) -> Counter[str]:
        """Count by outcome the deliveries that were not the first of their event."""
        found: Counter[str] = Counter()
        for log in self.logs.glob("*.log"):
            for line in log.read_text().splitlines():
                entry = json.loads(line) if '"attempt"' in line else {}
                if entry.get("attempt", 1) > 1:
                    found[entry["message"]] += 1
        return found

    async def overload(self, seconds: float) -> None:
        """Run ten times the customers that keep the suite busy for `seconds`."""
        async with self.suite({}, customers=0) as (cluster, load):
            overload = Overload(cluster, load, self.seed)
            self.figures |= await overload.figures(seconds, SETTLE_SECONDS + BACKLOG_FACTOR * seconds)
            reminders = self._logged("reminder published")
            self.figures["reminders"] = reminders
            self.problems += overload.problems
            if reminders > MAX_REMINDERS * len(load.ledger):
                self.problems.append(f"{reminders} reminders for {len(load.ledger)} orders")

    def _logged(self, event: str) -> int:
        return sum(log.read_text().count(f'"message": "{event}"') for log in self.logs.glob("*.log"))

    @asynccontextmanager
    async def suite(
        self,
        environ: Mapping[str, str],
        customers: int = CUSTOMERS,
        versions: Sequence[Version] = (CURRENT,),
        *,
        removing: bool = True,
    ) -> AsyncIterator[tuple[Cluster, Customers]]:
        """Start a suite under load; check it afterwards. `removing`: whether customers remove items."""
        started_at = time.monotonic()
        async with (
            self._backend(self.logs, self._faults) as backend,
            running_cluster(self.logs, backend, environ, self.problems, versions) as cluster,
            open_customers(
                cluster.gateways,
                cluster.environ,
                self.seed,
                customers,
                removing=removing and FUTURE not in versions,
            ) as load,
        ):
            yield cluster, load
            ran = time.monotonic() - started_at
            await load.close()
            await self._check(backend, load, SETTLE_SECONDS + ran)
            self.figures |= _order_figures(load, ran)
        self.redelivered = self._redelivered()
        self.figures["redelivered"] = dict(self.redelivered)

    def close(self) -> None:
        """Remove the logs if there are no problems."""
        if not self.problems:
            shutil.rmtree(self.logs)

    async def _check(self, backend: Backend, load: Customers, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        added = checks.added_fields(self.logs)
        found = await record_problems(load.tables)
        while found and time.monotonic() < deadline:
            await asyncio.sleep(CHECK_INTERVAL_SECONDS)
            found = await record_problems(load.tables)
        tickets = await checks.read_tickets(load.tables)
        self.problems += [
            *found,
            *checks.order_problems(load.ledger, tickets),
            *load.problems,
            *await checks.history_problems(load.history, load.tables, tickets),
            *await checks.dead_letter_problems(backend.direct),
            *await checks.lost_fields(load.tables, added),
        ]
        if added:
            self.figures["entities of the future version"] = len(added)


def _order_figures(load: Customers, seconds: float) -> dict[str, Any]:
    return {
        "seconds under load": round(seconds),
        "orders accepted": len(load.ledger),
        "calls recorded": dict(load.history.calls.results),
        "checked": dict(load.history.checked),
        "endings": dict(sorted(Counter(order.ending for order in load.ledger.values()).items())),
        "order open for": _quantiles([order.seconds for order in load.ledger.values()]),
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
