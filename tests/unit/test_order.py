"""All that is known of an order, told in the order it happened."""

from dataclasses import replace

import pytest

from contract.tickets import CartItem
from sagactl.errors import CommandError
from sagactl.inspect.timeline import describe
from sagakit.tables import Insert, Tables
from services.delivery.shipment import Shipment
from services.delivery.storage import delivery_key, shipment_entity
from services.payment import charge as charges
from services.payment.charge import Charge
from services.payment.storage import charge_entity, payment_key
from services.purchase.storage import ticket_entity, ticket_key
from services.purchase.ticket import Report, Ticket, cancel, opened, reported
from services.stock import inventory
from services.stock.inventory import Allocation, Reservation
from services.stock.storage import reservation_entity, reservation_key
from tests.support.tables import CountedTables, MemoryTables

WANTED = (CartItem("blue", 3), CartItem("green", 1))
TICKET = opened("o", "cart", WANTED, 1.0)
RESERVATION = Reservation("o", inventory.RESERVED, WANTED, 2.0, (Allocation("blue", 0, 3),), 300)
CHARGE = Charge("o", charges.CHARGED, 4.0, WANTED, 300)

UNTIL_RESERVED = [
    "  1970-01-01T00:00:01.000Z  purchase  pre-approved, by checkout",
    "  1970-01-01T00:00:02.000Z  stock     reserved",
]


async def told(
    ticket: Ticket,
    reservation: Reservation | None = None,
    charge: Charge | None = None,
    shipment: Shipment | None = None,
) -> list[str]:
    tables = MemoryTables()
    entities = {ticket_key("o"): ticket_entity(ticket, None)}
    if reservation is not None:
        entities[reservation_key("o")] = reservation_entity(reservation, None)
    if charge is not None:
        entities[payment_key("o")] = charge_entity(charge, None)
    if shipment is not None:
        entities[delivery_key("o")] = shipment_entity(shipment)
    await tables.commit([Insert(key, entity) for key, entity in entities.items()])
    return await described(tables)


async def described(tables: Tables) -> list[str]:
    """Asked for in one call, whatever it is."""
    counted = CountedTables(tables)
    lines = await describe(counted, "o")
    assert counted.calls == {"lookup": 1}
    return lines


async def test_an_order_that_was_delivered_is_told_from_checkout_to_its_delivery():
    ticket = TICKET
    for eventid, status, time in (
        ("e1", "reserved", 3.0),
        ("e2", "paid", 5.0),
        ("e3", "delivery-arranged", 9),
    ):
        ticket, _ = reported(ticket, Report(eventid, status, time, amount=300))

    lines = await told(
        ticket,
        inventory.settled(RESERVATION, inventory.SOLD, 6.0),
        charges.settled(CHARGE, 7.0),
        Shipment("o", WANTED, 8.0),
    )

    assert lines == [
        "order o: approved",
        "  3 blue, 1 green, for 300",
        "history:",
        *UNTIL_RESERVED,
        "  1970-01-01T00:00:03.000Z  purchase  reserved, by reserved (event e1)",
        "  1970-01-01T00:00:04.000Z  payment   charged, for 300",
        "  1970-01-01T00:00:05.000Z  purchase  approved, by paid (event e2)",
        "  1970-01-01T00:00:06.000Z  stock     sold",
        "  1970-01-01T00:00:07.000Z  payment   settled",
        "  1970-01-01T00:00:08.000Z  delivery  arranged",
        "  1970-01-01T00:00:09.000Z  purchase  delivery-arranged, by delivery-arranged (event e3)",
        "still open: nothing",
    ]


async def test_a_canceled_order_is_told_with_what_was_given_back():
    ticket = cancel(TICKET, "client", 5.0)

    lines = await told(
        ticket,
        inventory.settled(RESERVATION, inventory.RELEASED, 6.0),
        charges.canceled(CHARGE, "o", 300, 7.0),
    )

    assert lines == [
        "order o: canceled (client)",
        "  3 blue, 1 green",
        "history:",
        *UNTIL_RESERVED,
        "  1970-01-01T00:00:04.000Z  payment   charged, for 300",
        "  1970-01-01T00:00:05.000Z  purchase  canceled, by client",
        "  1970-01-01T00:00:06.000Z  stock     released",
        "  1970-01-01T00:00:07.000Z  payment   canceled, 300 given back",
        "still open: nothing",
    ]


async def test_an_order_that_nobody_has_heard_of_yet_is_open():
    assert await told(TICKET) == [
        "order o: pre-approved",
        "  3 blue, 1 green",
        "history:",
        UNTIL_RESERVED[0],
        "still open: the ticket is pre-approved",
    ]


async def test_whatever_is_open_is_named():
    approved, _ = reported(TICKET, Report("e", "paid", 3.0))

    lines = await told(approved, RESERVATION, CHARGE)

    assert lines[-1] == (
        "still open: its delivery is not arranged; what is reserved is neither sold nor released;"
        " what is charged is neither settled nor given back"
    )


@pytest.mark.parametrize(
    ("reservation", "line"),
    [
        (
            Reservation("o", inventory.REFUSED, WANTED, 2.0, reason="sold-out: blue"),
            "refused (sold-out: blue)",
        ),
        (Reservation("o", inventory.REFUSED, (), 2.0, reason="no-items"), "refused (no-items)"),
        (inventory.tombstone("o", 2.0), "released"),
    ],
)
async def test_what_stock_decided_for_good_is_told_once(reservation: Reservation, line: str):
    lines = await told(TICKET, reservation)

    assert [each for each in lines if "stock" in each] == [f"  1970-01-01T00:00:02.000Z  stock     {line}"]


@pytest.mark.parametrize(
    ("charge", "line"),
    [
        (replace(CHARGE, status=charges.DECLINED, reason="too much"), "declined, for 300 (too much)"),
        (charges.canceled(None, "o", 0, 4.0), "canceled"),
    ],
)
async def test_what_payment_decided_for_good_is_told_once(charge: Charge, line: str):
    lines = await told(TICKET, charge=charge)

    assert [each for each in lines if "payment" in each] == [f"  1970-01-01T00:00:04.000Z  payment   {line}"]


async def test_an_order_that_is_not_there_is_said_so():
    with pytest.raises(CommandError, match="there is no order o"):
        await described(MemoryTables())
