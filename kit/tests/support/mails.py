"""Two small services to be simulated: one stores orders, one counts the mails about each."""

import json
from collections.abc import Iterable

from sagakit.consumer import Outcome
from sagakit.events import Event
from sagakit.service import Kit, Service
from sagakit.store import Changes, Snapshot
from sagakit.tables import Key
from sagakit.testing import Commit, FaultRates, Scenario, Simulation
from sagakit.topology import ServiceDeclaration, Topology

TOPOLOGY = Topology(
    (
        ServiceDeclaration("orders", topic="orders", subscribes_to=("requests",)),
        ServiceDeclaration("mailing", subscribes_to=("orders",)),
    ),
    foreign_topics={"requests": "requests"},
)
NOTHING = FaultRates().calm()


def orders(kit: Kit) -> Service:
    """Stores each order, and announces it. No reply is awaited."""

    async def requested(event: Event) -> Outcome:
        key = Key("Order", json.loads(event.body)["orderid"])
        placed = Event(kit.runtime.new_id(), "order.Placed", event.body)
        once = kit.inbox.once(
            event.eventid,
            lambda _: Changes(Outcome.APPLIED, {key: {"mails": 0}}, [placed]),
            load=lambda _: Outcome.DUPLICATE,
        )
        return (await kit.store.transact([key], once)).result

    return Service(handlers={"order.Requested": requested})


def mailing(kit: Kit, *, uses_inbox: bool = True) -> Service:
    """Counts the mails about each order."""

    async def placed(event: Event) -> Outcome:
        key = Key("Mail", json.loads(event.body)["orderid"])

        def decide(found: Snapshot) -> Changes[Outcome]:
            sent = (found.get(key) or {"n": 0})["n"]
            return Changes(Outcome.APPLIED, {key: {"n": sent + 1}})

        once = kit.inbox.once(event.eventid, decide, load=lambda _: Outcome.DUPLICATE)
        return (await kit.store.transact([key], once if uses_inbox else decide)).result

    return Service(handlers={"order.Placed": placed})


class Mails(Scenario):
    """Every order gets one mail."""

    async def client(self, number: int) -> None:
        body = json.dumps({"orderid": f"order-{number}"}).encode()
        await self.world.publish("requests", Event(self.world.new_id(), "order.Requested", body))

    def committed(self, commit: Commit) -> Iterable[str]:
        for each in commit.mutations:
            if each.key.kind == "Mail" and each.entity["n"] > 1:
                yield f"{each.key.name} got {each.entity['n']} mails"

    async def problems(self) -> Iterable[str]:
        mails = self.world.tables.kind("Mail")
        return [f"order-{n} got no mail" for n in range(self.world.sagas) if f"order-{n}" not in mails]


MAILS = Simulation(
    TOPOLOGY, {"orders": orders, "mailing": mailing}, Mails, unawaited=["mailing-service.orders"]
)
