"""Handlers of order-ticket events: a service's reactions as a table, status → reaction."""

from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

import structlog

from contract.tickets import (
    KNOWN,
    ORDER_TICKET,
    PUBLISHED_BY,
    STATUS_ATTRIBUTE,
    TicketMessage,
    may_publish,
)
from sagakit.consumer import Handler, Outcome
from sagakit.errors import Poison
from sagakit.events import Event
from sagakit.ignored import Ignored
from sagakit.telemetry.spans import set_attribute


@dataclass(frozen=True, slots=True)
class Reaction:
    """A service's reaction to a ticket with some status."""

    do: Callable[[Any, str, TicketMessage], Awaitable[Outcome]]
    """A method of the service's use cases, called with the eventid and the ticket."""
    replies: tuple[str, ...] = ()
    """The statuses the service may publish in reply."""


NOT_PUBLISHED_BY = "not-published-by"
"""Reason of a dead letter: its status is another service's to publish, not that of the topic it came from."""

Publishers = Mapping[str, str]
"""The service that publishes to each topic; see `shop.publishers`."""


def handlers(
    reactions: Mapping[str, Reaction], usecases: object, publishers: Publishers
) -> Mapping[str, Handler]:
    """Return handlers by event type for the kit's consumer; they ignore a status without a reaction."""

    async def react(event: Event, ticket: TicketMessage) -> Outcome:
        reaction = reactions.get(ticket.status)
        if reaction is None:
            return Outcome.IGNORED
        return await reaction.do(usecases, event.eventid, ticket)

    return ticket_handlers(react, publishers)


def ignored_tickets(reactions: Collection[str]) -> dict[str, Ignored]:
    """Return by publisher the ticket events that a service with reactions to these statuses ignores.

    A status that its publisher does not publish, or that is not known, is none of them: `ticket_handlers`
    decides about it.
    """
    ignored = {publisher: statuses.difference(reactions) for publisher, statuses in PUBLISHED_BY.items()}
    return {
        publisher: Ignored(ORDER_TICKET, STATUS_ATTRIBUTE, statuses)
        for publisher, statuses in ignored.items()
        if statuses
    }


def by_topic(ignored: Mapping[str, Ignored], publishers: Publishers) -> Mapping[str, Ignored]:
    """Return by topic what `ignored` has by publisher, for `Service.ignores`."""
    return {topic: ignored[publisher] for topic, publisher in publishers.items() if publisher in ignored}


def ticket_handlers(
    apply: Callable[[Event, TicketMessage], Awaitable[Outcome]], publishers: Publishers
) -> Mapping[str, Handler]:
    """Return handlers by event type that decode the ticket, put it into logs and traces, and call `apply`.

    They raise Poison if the event's topic is that of a service which does not publish the ticket's status.
    """

    async def order_ticket(event: Event) -> Outcome:
        ticket = TicketMessage.from_event(event)
        structlog.contextvars.bind_contextvars(orderid=ticket.orderid, status=ticket.status)
        set_attribute("orderid", ticket.orderid)
        set_attribute("status", ticket.status)
        publisher = publishers[event.topic]
        if may_publish(publisher, ticket.status):
            return await apply(event, ticket)
        if ticket.status not in KNOWN:
            return Outcome.UNKNOWN
        raise Poison(f"{NOT_PUBLISHED_BY}: {publisher} {ticket.status}")

    return {ORDER_TICKET: order_ticket}
