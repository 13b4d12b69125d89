"""Use cases of points, each one transaction."""

import json

from contract.reactions import Reaction, ignored_tickets
from contract.tickets import APPROVED, TicketMessage
from sagakit.consumer import Outcome
from sagakit.errors import NotFound
from sagakit.events import Event
from sagakit.inbox import Inbox
from sagakit.runtime import Runtime
from sagakit.store import Changes, Snapshot, Store
from services.loyalty_points.rules import earned
from services.loyalty_points.storage import points_entity, points_key

POINTS_EARNED = "loyalty.PointsEarned"


class UseCases:
    """Each method returns the state its transaction left, or raises Rejected and changes nothing."""

    def __init__(self, store: Store, inbox: Inbox, runtime: Runtime, rate: int) -> None:
        self._store = store
        self._inbox = inbox
        self._runtime = runtime
        self._rate = rate

    async def get_points(self, orderid: str) -> int:
        entity = (await self._store.read([points_key(orderid)])).get(points_key(orderid))
        if entity is None:
            raise NotFound("unknown-order", f"the order {orderid} has earned no points")
        return int(entity["points"])

    async def earn(self, eventid: str, ticket: TicketMessage) -> Outcome:
        """Record the points of an approved order, once, and publish them."""
        key, publishedid = points_key(ticket.orderid), self._runtime.new_id()
        points = earned(ticket, self._rate)

        def decide(found: Snapshot) -> Changes[Outcome]:
            if found.get(key) is not None:
                return Changes(Outcome.APPLIED)
            body = json.dumps({"orderid": ticket.orderid, "points": points})
            event = Event(publishedid, POINTS_EARNED, body.encode())
            return Changes(Outcome.APPLIED, {key: points_entity(points)}, [event])

        once = self._inbox.once(eventid, decide, load=lambda _: Outcome.DUPLICATE)
        return (await self._store.transact((key,), once)).result


REACTIONS = {APPROVED: Reaction(UseCases.earn)}
IGNORES = ignored_tickets(REACTIONS)
