"""The events that a service which is new has missed, from the tickets."""

from contract.tickets import TERMINAL
from sagakit.backfill import Backfill
from sagakit.events import Event
from sagakit.tables import Entity
from services.purchase.storage import TICKET, to_ticket
from services.purchase.usecases import to_event


def _event(orderid: str, entity: Entity, now: float) -> Event | None:
    """Return the event of an order that has ended; one that is open still publishes its end."""
    ticket = to_ticket(orderid, entity)
    return to_event(ticket, "", now, is_reminder=True) if ticket.status in TERMINAL else None


TICKETS = Backfill(TICKET, _event)
