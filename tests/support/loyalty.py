"""A fifth service of the shop, which was added later: grants points once for each approved order."""

import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial

from contract.reactions import Reaction, handlers
from contract.shop import SHOP, publishers
from contract.tickets import APPROVED, ORDER_TICKET, TicketMessage, ticket_event
from contract.topology import TOPOLOGY as WITHOUT
from sagactl.project import PROJECT as SHOP_PROJECT
from sagakit.audits import Audit, AuditReport
from sagakit.consumer import Outcome
from sagakit.run import main
from sagakit.service import Kit, Service
from sagakit.store import Changes, Snapshot
from sagakit.tables import Entity, Key, Tables
from sagakit.topology import ServiceDeclaration
from services.purchase.__main__ import build as build_purchase
from services.purchase.storage import TICKET, to_ticket

GRANT, TOTAL = "Grant", Key("GrantTotal", "all")
GRANTED = "test-loyalty-granted"


async def _check(tables: Tables, since: float) -> AuditReport:
    """Every approved order that was placed since then has a grant."""
    tickets = [to_ticket(key.name, row.entity) for key, row in await tables.page(TICKET, "", 100)]
    granted = {key.name for key, _ in await tables.page(GRANT, "", 100)}
    wanted = [each for each in tickets if each.status == APPROVED and each.opened_at >= since]
    missing = [each.orderid for each in wanted if each.orderid not in granted]
    return AuditReport([f"order {each}: it has no grant" for each in missing], [f"grants: {len(granted)}"])


AUDIT, AUDIT_SINCE_EVER = Audit(_check, since=datetime(9000, 1, 1, tzinfo=UTC)), Audit(_check)
DECLARATION = ServiceDeclaration(
    "test-loyalty",
    topic="com.example.test-loyalty",
    subscribes_to=("purchase", "delivery"),
    audit="tests.support.loyalty:AUDIT",
)


def with_services(*more: ServiceDeclaration) -> Sequence[ServiceDeclaration]:
    return (*WITHOUT.services, *more)


TOPOLOGY = replace(WITHOUT, services=with_services(DECLARATION))
PROJECT = replace(SHOP_PROJECT, topology=TOPOLOGY)
STRICT = replace(
    PROJECT,
    topology=replace(
        TOPOLOGY,
        services=with_services(replace(DECLARATION, audit="tests.support.loyalty:AUDIT_SINCE_EVER")),
    ),
)
"""The project whose audit looks at orders from before the service, too."""


AWAITED = replace(
    TOPOLOGY,
    services=[
        replace(
            each, subscribes_to=(*each.subscribes_to, "test-loyalty"), awaits=(*each.awaits, "test-loyalty")
        )
        if each.name == "purchase"
        else each
        for each in TOPOLOGY.services
    ],
)
"""The services, of which purchase awaits the answers of loyalty too."""


class UseCases:
    def __init__(self, kit: Kit) -> None:
        self._kit = kit

    async def grant(self, eventid: str, ticket: TicketMessage) -> Outcome:
        kit, key = self._kit, Key(GRANT, ticket.orderid)
        replyid, now = kit.runtime.new_id(), kit.runtime.now()
        reply = ticket_event(TicketMessage(ticket.orderid, GRANTED, ticket.cart_items), replyid, now)

        def decide(found: Snapshot) -> Changes[Outcome]:
            if found.get(key) is not None:
                return Changes(Outcome.APPLIED, {}, [reply])
            total: Entity = found.get(TOTAL) or {"n": 0}
            writes = {key: {"time": now}, TOTAL: {"n": total["n"] + 1}}
            return Changes(Outcome.APPLIED, writes, [reply])

        once = kit.inbox.once(eventid, decide, load=lambda _: Outcome.DUPLICATE)
        return (await kit.store.transact([key, TOTAL], once)).result


def build(kit: Kit) -> Service:
    reactions = {APPROVED: Reaction(UseCases.grant, replies=(GRANTED,))}
    return Service(
        handlers=handlers(reactions, UseCases(kit), publishers(kit.subscribe_topics)),
        publishes=[ORDER_TICKET],
    )


if __name__ == "__main__":
    builds = {"test-loyalty": build, "purchase": partial(build_purchase, topology=AWAITED)}
    main(sys.argv[1], builds[sys.argv[1]], SHOP)
