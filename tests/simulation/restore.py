"""A simulation in which records are restored to an earlier moment while everything else continues."""

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any

from contract.tickets import APPROVED, FAILED, TERMINAL
from sagactl.cli.reconcile import Reconciliation
from sagactl.inspect.audit import problems
from sagactl.inspect.reconciliation import Decisions, Remedy, Republish
from sagactl.inspect.records import Records
from sagakit.bus import Message
from sagakit.inbox import inbox_kind
from sagakit.outbox import outbox_kind
from sagakit.runtime import Runtime
from sagakit.testing.world import World
from services.delivery.storage import DELIVERY
from services.payment.storage import PAYMENT
from services.purchase.storage import CART, TICKET
from services.stock.storage import CATALOGUE, ITEM, RESERVATION, SHARD
from tests.simulation.shop import Shop

OWNED = {
    "purchase": (CART, TICKET),
    "stock": (CATALOGUE.kind, ITEM, SHARD, RESERVATION),
    "payment": (PAYMENT,),
    "delivery": (DELIVERY,),
}
KINDS = {service: (*kinds, outbox_kind(service), inbox_kind(service)) for service, kinds in OWNED.items()}
"""The kinds of each service. The provider's ledger is not among them: no operator can restore it."""
UNDECIDED = Decisions()
BACK_SECONDS = 120.0
"""How far the records go back."""


class RestoredShop(Shop):
    """Kinds go back once, in the middle of the run; afterwards an operator reconciles repeatedly."""

    def __init__(
        self,
        world: World,
        kinds: Sequence[str],
        *,
        decided: Decisions = UNDECIDED,
        reconciles: bool = True,
    ) -> None:
        super().__init__(world)
        self.undecided: dict[str, str] = {}
        """Reasons why a person must decide, by orderid."""
        self.republished: list[str] = []
        self.promised: dict[str, str] = {}
        """The final statuses that customers saw before the restore, by orderid."""
        self.lost: set[str] = set()
        """The orders whose tickets the restore has lost."""
        self._kinds = kinds
        self._decided = decided
        self._reconciles = reconciles

    def injections(self) -> Sequence[Coroutine[Any, Any, None]]:
        return [*super().injections(), self._restore()]

    async def _restore(self) -> None:
        await asyncio.sleep(self.world.arrival_seconds / 3)
        earlier = dict(self.world.tables.rows)
        await asyncio.sleep(BACK_SECONDS)
        before = self._tickets()
        self.promised = {orderid: status for orderid, status in before.items() if status in TERMINAL}
        self.world.tables.restore(self._kinds, earlier)
        self.lost = before.keys() - self._tickets().keys()
        for process in self.world.processes:
            if set(KINDS.get(process.service, ())) & set(self._kinds):
                self.observer.forget(process.service)
                process.crash()

    def _tickets(self) -> dict[str, str]:
        return {orderid: entity["status"] for orderid, entity in self.world.tables.kind(TICKET).items()}

    async def record_problems(self, records: Records) -> list[str]:
        """Return what is wrong, and not listed for a person to decide."""
        self.undecided = {}
        if self._reconciles:
            await self._reconcile()
        found = problems(records)
        unlisted = [each for each in found if not self._is_listed(each)]
        return [*unlisted, *self._broken_promises(records)]

    async def _reconcile(self) -> None:
        runtime = Runtime(
            now=self.world.now,
            sleep=asyncio.sleep,
            random=self.world.random,
            new_id=lambda: f"reconciled-{self.world.new_id()}",
        )
        operator = self.world.connect("operator")
        await Reconciliation(operator, runtime, self._decided, 60, 1_000).run(self._note)

    def _note(self, orderid: str, each: Remedy) -> None:
        if isinstance(each, Republish):
            self.republished.append(str(each))
        else:
            self.undecided[orderid] = each

    def _is_listed(self, problem: str) -> bool:
        subject, _, rest = problem.partition(" ")
        if subject == "order":
            return rest.partition(":")[0] in self.undecided
        # The sum of the listed orders.
        return "was charged for approved orders" in problem and bool(self.undecided)

    def _broken_promises(self, records: Records) -> list[str]:
        """Return the orders that were approved and have failed, or the reverse, and are not listed."""
        kept = {APPROVED: {APPROVED}, **dict.fromkeys(FAILED, FAILED)}
        return [
            f"order {orderid}: it was {status}, and is {records.orders[orderid].ticket}"
            for orderid, status in self.promised.items()
            if orderid in records.orders
            and records.orders[orderid].ticket not in kept[status]
            and orderid not in self.undecided
        ]

    def client_problems(self) -> list[str]:
        """Return what clients miss, except the orders that the restore has lost, and calls about them."""
        excused = {f"order {orderid} is lost" for orderid in self.lost}
        if TICKET in self._kinds:
            found = self.world.problems
            found[:] = [each for each in found if not each.startswith("client ")]
        return [each for each in super().client_problems() if each not in excused]

    def history_problems(self) -> Sequence[str]:
        """Return nothing: after a restore customers see what they saw earlier."""
        return []

    def expects(self, dead_letter: Message) -> bool:
        """Reports about the orders that the restore has lost are expected."""
        return bool(self.lost) and dead_letter.attributes.get("dead_letter_reason") == "unknown-order"


def own_kinds(services: Sequence[str]) -> Sequence[str]:
    """Return the kinds of some services."""
    return [kind for service in services for kind in KINDS[service]]
