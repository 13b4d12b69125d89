"""Customers who order through the gateways together, and follow their orders there."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from typing import cast

import httpx

from sagactl.inspect.order_records import order_keys, order_records
from sagakit.testing.backends import Commit
from sagakit.testing.world import World
from services.delivery.storage import DELIVERY
from services.payment.storage import PAYMENT
from services.purchase.storage import TICKET
from services.stock.storage import RESERVATION
from tests.chaos.checks import history_problems, read_tickets
from tests.simulation.faults import ShopFaults
from tests.simulation.gateway import GatewayTransport, SimulatedGateway
from tests.support.customers.calls import ANSWER_TIMEOUT_SECONDS, Caller
from tests.support.customers.parties import Parties
from tests.support.shop_history import ShopHistory

REPLICAS = 2
RETRY_SECONDS = 1_800.0
"""How long a call is retried: through everything that is broken on purpose."""
FOLLOWED_SECONDS = 3_600.0
"""How long customers follow an order, at most."""
MAX_LATE_SECONDS = 600.0
"""How long after its last change followers see the end of an order, at most.

A feed notices a lost event after up to 60 s, and waits as long for a service that has no record of a failure.
The rest is for reads that find a service killed or frozen: its only replica may be so half of the time.
"""
MAX_LATE_DISTURBED_SECONDS = 1_800.0
"""The same where gateways restart, each of which begins to wait anew, or where calls pass after a while."""
RECORDS = {TICKET, RESERVATION, PAYMENT, DELIVERY}


class Visitors:
    """Orders through the gateways; every call is recorded and checked."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._gateways = [SimulatedGateway(world, replica) for replica in range(REPLICAS)]
        self._history = ShopHistory(lambda: asyncio.get_running_loop().time())
        transport = GatewayTransport(self._gateways)
        caller = Caller(transport.urls, self._history, world.random, RETRY_SECONDS)
        http = httpx.AsyncClient(transport=transport, timeout=ANSWER_TIMEOUT_SECONDS, trust_env=False)
        self._calls = caller
        self._changed_at: dict[str, float] = {}
        """When an order's records changed last, by orderid."""
        self._parties = Parties(caller, http, world.random, removing=True)

    def start(self) -> None:
        """Start the gateways."""
        for each in self._gateways:
            each.start()

    async def restart_at_times(self, per_minute: float) -> None:
        """Kill or drain gateways until cancelled."""
        random = self._world.random
        while per_minute:
            await asyncio.sleep(random.expovariate(per_minute / 60))
            self._world.reached["fault gateway_restarts_per_minute"] += 1
            await random.choice(self._gateways).restart(drains=random.random() < 0.5)

    async def order(self, cartid: str, basket: Mapping[str, int]) -> tuple[str, Mapping[str, int]]:
        """Return the order that a party places, and what is in it."""
        return await self._parties.order(cartid, basket)

    async def follow(self, orderid: str) -> None:
        """Follow an order to its end, which must be seen soon after the last change of its records."""
        with suppress(TimeoutError):
            async with asyncio.timeout(FOLLOWED_SECONDS):
                try:
                    await self._parties.followed(orderid)
                except* TimeoutError as unanswered:
                    self._world.problems += map(str, unanswered.exceptions)
        snapshot = order_records(orderid, self._world.tables.find(order_keys(orderid))).snapshot
        late_seconds = asyncio.get_running_loop().time() - self._changed_at[orderid]
        has_ended = snapshot.is_settled or snapshot.is_released
        faults = cast("ShopFaults", self._world.simulation.faults)
        is_disturbed = faults.gateway_restarts_per_minute or faults.clogs_per_minute
        if has_ended and late_seconds > (MAX_LATE_DISTURBED_SECONDS if is_disturbed else MAX_LATE_SECONDS):
            self._world.problems.append(f"order {orderid}: its end was not seen for {late_seconds:.0f} s")

    def committed(self, commit: Commit) -> None:
        """Note which orders have changed."""
        now = asyncio.get_running_loop().time()
        self._changed_at |= {each.key.name: now for each in commit.mutations if each.key.kind in RECORDS}

    async def problems(self) -> list[str]:
        """Return what was wrong in the answers, and what they lack of the records."""
        tables = self._world.connect("audit").tables
        tickets = await read_tickets(tables)
        return [*self._calls.problems, *await history_problems(self._history, tables, tickets)]
