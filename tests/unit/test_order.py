"""`sagactl order`: one order from the records of all services, in the order in which things happened."""

from dataclasses import replace

import pytest

from contract.tickets import CartItem
from sagactl.cli.order import describe, load
from sagakit.ctl.errors import CommandError
from sagakit.tables import Insert, Key, Tables
from sagakit.testing.tables import CountedTables, MemoryTables
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

WANTED = (CartItem("blue", 3), CartItem("green", 1))
TICKET = opened("o", "cart", WANTED, 1.0)
RESERVATION = Reservation("o", inventory.RESERVED, WANTED, (Allocation("blue", 0, 3),), 300, time=2.0)
CHARGE = Charge("o", charges.CHARGED, 4.0, WANTED, 300)

UNTIL_RESERVED = [
    "  1970-01-01T00:00:01.000Z  purchase  pre-approved, caused by checkout",
    "  1970-01-01T00:00:02.000Z  stock     reserved, for 300",
]


async def described(
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
    return await describe_in_one_call(tables)


async def describe_in_one_call(tables: Tables) -> list[str]:
    counted = CountedTables(tables)
    lines = describe("o", await load(counted, "o"))
    assert counted.calls == {"lookup": 1}
    return lines


async def test_delivered_order_is_described_from_checkout_to_delivery():
    ticket = TICKET
    for eventid, status, time in (
        ("e1", "reserved", 3.0),
        ("e2", "paid", 5.0),
        ("e3", "delivery-arranged", 9),
    ):
        ticket, _ = reported(ticket, Report(eventid, status, time, amount=300))

    lines = await described(
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
        "  1970-01-01T00:00:03.000Z  purchase  reserved, caused by reserved (event e1)",
        "  1970-01-01T00:00:04.000Z  payment   paid, for 300",
        "  1970-01-01T00:00:05.000Z  purchase  approved, caused by paid (event e2)",
        "  1970-01-01T00:00:06.000Z  stock     sold",
        "  1970-01-01T00:00:07.000Z  payment   settled",
        "  1970-01-01T00:00:08.000Z  delivery  delivery-arranged",
        "  1970-01-01T00:00:09.000Z  purchase  delivery-arranged, caused by delivery-arranged (event e3)",
        "still open: nothing",
    ]


async def test_canceled_order_is_described_with_its_refund():
    ticket = cancel(TICKET, "client", 5.0)

    lines = await described(
        ticket,
        inventory.settled(RESERVATION, inventory.RELEASED, 6.0),
        charges.canceled(CHARGE, "o", 300, 7.0),
    )

    assert lines == [
        "order o: canceled (client)",
        "  3 blue, 1 green",
        "history:",
        *UNTIL_RESERVED,
        "  1970-01-01T00:00:04.000Z  payment   paid, for 300",
        "  1970-01-01T00:00:05.000Z  purchase  canceled, caused by client",
        "  1970-01-01T00:00:06.000Z  stock     released",
        "  1970-01-01T00:00:07.000Z  payment   canceled, 300 refunded",
        "still open: nothing",
    ]


async def test_new_order_is_open():
    assert await described(TICKET) == [
        "order o: pre-approved",
        "  3 blue, 1 green",
        "history:",
        UNTIL_RESERVED[0],
        "still open: the ticket is pre-approved",
    ]


async def test_charge_without_an_outcome_is_no_event_and_open():
    intended = Charge("o", charges.CHARGING, 4.0, WANTED, 300)

    lines = await described(TICKET, RESERVATION, intended)

    assert [line for line in lines if "payment" in line] == []
    assert lines[-1].endswith("; the charge has no recorded outcome")


async def test_open_delivery_reservation_and_charge_are_named():
    approved, _ = reported(TICKET, Report("e", "paid", 3.0))

    lines = await described(approved, RESERVATION, CHARGE)

    assert lines[-1] == (
        "still open: the delivery is not arranged; the reservation is neither sold nor released;"
        " the charge is neither settled nor refunded"
    )


@pytest.mark.parametrize(
    ("reservation", "line"),
    [
        (
            Reservation("o", inventory.REFUSED, WANTED, reason="sold-out: blue", time=2.0),
            "reserve-failed (sold-out: blue)",
        ),
        (Reservation("o", inventory.REFUSED, (), reason="no-items", time=2.0), "reserve-failed (no-items)"),
        (inventory.tombstone("o", 2.0), "released"),
    ],
)
async def test_final_decision_of_stock_is_listed_once(reservation: Reservation, line: str):
    lines = await described(TICKET, reservation)

    assert [each for each in lines if "stock" in each] == [f"  1970-01-01T00:00:02.000Z  stock     {line}"]


@pytest.mark.parametrize(
    ("charge", "line"),
    [
        (replace(CHARGE, status=charges.DECLINED, reason="too much"), "payment-failed, for 300 (too much)"),
        (charges.canceled(None, "o", 0, 4.0), "canceled"),
    ],
)
async def test_final_decision_of_payment_is_listed_once(charge: Charge, line: str):
    lines = await described(TICKET, charge=charge)

    assert [each for each in lines if "payment" in each] == [f"  1970-01-01T00:00:04.000Z  payment   {line}"]


async def test_unknown_order_is_an_error():
    with pytest.raises(CommandError, match="order o does not exist"):
        await describe_in_one_call(MemoryTables())


@pytest.mark.parametrize(
    ("key", "change", "reason"),
    [
        (ticket_key("o"), {"status": None}, "Ticket.status: its type is NoneType"),
        (ticket_key("o"), {"history": []}, "ValueError: Ticket.history: it is empty"),
        (reservation_key("o"), {"time": 1e20}, "OverflowError: "),
        (payment_key("o"), {"amount": 2**70}, "ValueError: Value out of range"),
        (delivery_key("o"), {"$unreadable": "damaged JSON"}, "Shipment: damaged JSON"),
    ],
)
async def test_corrupt_record_is_shown_beside_the_others(key: Key, change: dict, reason: str):
    tables = MemoryTables()
    entities = {
        ticket_key("o"): ticket_entity(TICKET, None),
        reservation_key("o"): reservation_entity(RESERVATION, None),
        payment_key("o"): charge_entity(CHARGE, None),
        delivery_key("o"): shipment_entity(Shipment("o", WANTED, 8.0)),
    }
    entities[key] = {**entities[key], **change}
    await tables.commit([Insert(each, entity) for each, entity in entities.items()])

    lines = await describe_in_one_call(tables)

    (corrupt,) = [line for line in lines if "corrupt" in line]
    assert corrupt.startswith(f"  corrupt: {key.kind} o: {reason}")
    services = {line.split()[1] for line in lines if line.startswith("  1970")}
    owner = {"OrderTicket": "purchase", "Reservation": "stock", "Payment": "payment", "Delivery": "delivery"}
    assert services == {*owner.values()} - {owner[key.kind]}
