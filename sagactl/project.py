"""The shop as a project of `sagactl`."""

from collections.abc import Sequence
from typing import Any

from contract.shop import SHOP
from contract.tickets import (
    APPROVED,
    CANCELED,
    DELIVERY_ARRANGED,
    ORDER_TICKET,
    PAID,
    PAYMENT_FAILED,
    PRE_APPROVED,
    RESERVE_FAILED,
    RESERVED,
)
from contract.topology import TOPOLOGY
from sagactl.cli.curl_examples import ready_lines
from sagakit.bus import Message
from sagakit.ctl.project import Claim, Gateway, NewService, Project, ServiceTemplates, event_type
from sagakit.tables import Tables
from sagakit.untrusted import parse_json

MAX_TEXT = 128
"""Characters of an order's id and status in a line; the publisher chooses how long they are."""


def subject(message: Message) -> str:
    """Return the order that an event is about, and its status; the type of an event of another type."""
    if (found := event_type(message)) != ORDER_TICKET:
        return _short(found)
    try:
        body = parse_json(message.data)
        return f"order {_short(body['orderid'])}: {_short(body['status'])}"
    except (ValueError, KeyError, TypeError):
        return ""


async def verify(tables: Tables, claims: Sequence[Claim]) -> Sequence[str]:
    """Return why dead letters do not match their publishers' records; see `sagactl.inspect.verification`."""
    from sagactl.inspect import verification  # It imports every service, which only this needs.

    return await verification.verify(tables, claims)


def _short(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("not text")
    return value if len(value) <= MAX_TEXT else f"{value[:MAX_TEXT]}…"


REACTS_TO = {
    "purchase": "APPROVED",
    "stock": "RESERVED",
    "payment": "PAID",
    "delivery": "DELIVERY_ARRANGED",
}
"""Which of a publisher's statuses a new service reacts to at first, as constants of `contract.tickets`."""


def names(service: NewService) -> dict[str, str]:
    """Return what stands in the templates of a service for the statuses that it reacts to.

    Raises ValueError if one that it subscribes to publishes no order tickets.
    """
    for publisher in service.subscribes_to:
        if publisher not in REACTS_TO:
            raise ValueError(f"{publisher} publishes no order tickets: write a handler of its events instead")
    statuses = sorted({REACTS_TO[publisher] for publisher in service.subscribes_to})
    return {
        "statuses": ", ".join(statuses),
        "status": statuses[0],
        "reactions": ", ".join(f"{status}: Reaction(UseCases.record)" for status in statuses),
    }


SERVICE_TEMPLATES = ServiceTemplates(
    package="sagactl",
    topic="com.example.$name",
    names=names,
    generators=(("make", "--no-print-directory", "proto", "generate"),),
    next_steps=(
        "",
        "Next: make check; then make run, order something, and sagactl logs $name",
        "Its rule is in services/$package/rules.py, its reactions in usecases.py",
    ),
)
GATEWAY = Gateway("services.gateway", ready_path="readyz?all=true")
PROJECT = Project(
    topology=TOPOLOGY,
    application=SHOP,
    commands={
        "demo": "sagactl.cli.demo",
        "load": "sagactl.cli.load",
        "top": "sagactl.cli.top",
        "order": "sagactl.cli.order",
        "pending": "sagactl.cli.pending",
        "reconcile": "sagactl.cli.reconcile",
        "stock": "sagactl.cli.stock",
        "faults": "sagactl.cli.faults",
        "seed": "sagactl.cli.stock",
    },
    gateway=GATEWAY,
    seeds=("seed",),
    service_templates=SERVICE_TEMPLATES,
    ready_lines=ready_lines,
    audits={"orders": "sagactl.inspect.audit:ORDERS"},
    subject=subject,
    verify=verify,
    status_colours={
        PRE_APPROVED: "cyan",
        RESERVED: "yellow",
        PAID: "magenta",
        APPROVED: "green",
        DELIVERY_ARRANGED: "blue",
        RESERVE_FAILED: "red",
        PAYMENT_FAILED: "red",
        CANCELED: "red",
    },
)
