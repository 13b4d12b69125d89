"""Which dead letters are verified: those whose publisher has a matching record."""

import json
from dataclasses import replace

import pytest

from contract.ownership import owner_digest
from contract.tickets import ORDER_TICKET, CartItem, TicketMessage
from contract.topology import TOPOLOGY
from sagactl.inspect.verification import verify
from sagactl.project import PROJECT
from sagakit.bus import Message, PulledMessage
from sagakit.ctl.inspect.dead_letters import MAX_BODY, DeadLetter
from sagakit.errors import Unavailable
from sagakit.tables import Insert, Key, Row
from sagakit.testing.clock import START
from sagakit.testing.tables import CountedTables, MemoryTables
from services.delivery.shipment import Shipment
from services.delivery.storage import delivery_key, shipment_entity
from services.payment import charge as charges
from services.payment.charge import Charge
from services.payment.storage import charge_entity, payment_key
from services.purchase.storage import ticket_entity, ticket_key
from services.purchase.ticket import Report, cancel, opened, reported
from services.stock import inventory
from services.stock.inventory import Allocation, Reservation
from services.stock.storage import reservation_entity, reservation_key

ITEMS = (CartItem("blue", 3), CartItem("red", 1))
ALLOCATIONS = (Allocation("blue", 0, 3), Allocation("red", 0, 1))
RESERVATION = Reservation("o", inventory.RESERVED, ITEMS, ALLOCATIONS, 350, time=START)
REFUSED = Reservation("o", inventory.REFUSED, ITEMS, time=START)
CHARGE = Charge("o", charges.CHARGED, START, ITEMS, 350)
APPROVED = opened("o", "cart", ITEMS, START, "alice")
for _status, _amount in (("reserved", 350), ("paid", 350), ("delivery-arranged", None)):
    APPROVED, _ = reported(APPROVED, Report("e", _status, START, _amount))
CANCELED = cancel(opened("o", "cart", ITEMS, START), "client", START)


async def tables_with(*, ticket=None, reservation=None, charge=None, shipment=None) -> MemoryTables:
    entities = {
        ticket_key("o"): ticket and ticket_entity(ticket, None),
        reservation_key("o"): reservation and reservation_entity(reservation, None),
        payment_key("o"): charge and charge_entity(charge, None),
        delivery_key("o"): shipment and shipment_entity(shipment),
    }
    tables = MemoryTables()
    await tables.commit([Insert(key, entity) for key, entity in entities.items() if entity])
    return tables


def letter(body: bytes, publisher: str = "payment", **attributes: str) -> DeadLetter:
    service = "payment" if publisher == "stock" else "stock" if publisher == "purchase" else "purchase"
    marks = {
        "eventid": "e",
        "type": ORDER_TICKET,
        "dead_letter_subscription": f"{service}-service.{TOPOLOGY.topics[publisher]}",
    }
    return DeadLetter(PulledMessage("1", Message(body, {**marks, **attributes})), PROJECT)


def claim(publisher: str, status: str, amount: int | None = None, items=ITEMS) -> DeadLetter:
    return letter(TicketMessage("o", status, items, amount).to_event("e", {}).body, publisher)


async def unverified(tables, found: DeadLetter) -> str:
    (why,) = await verify(tables, [(found.topic, found.message)])
    return why


GENUINE = [
    ("purchase", "pre-approved", None, {"ticket": APPROVED}),
    ("purchase", "approved", 350, {"ticket": APPROVED}),
    ("purchase", "pre-approved", None, {"ticket": CANCELED}),
    ("purchase", "canceled", None, {"ticket": CANCELED}),
    ("stock", "reserved", 350, {"reservation": RESERVATION}),
    ("stock", "reserved", 350, {"reservation": inventory.settled(RESERVATION, inventory.SOLD, START)}),
    ("stock", "reserved", 350, {"reservation": inventory.settled(RESERVATION, inventory.RELEASED, START)}),
    ("stock", "paid", None, {"reservation": replace(RESERVATION, waives_payment=True)}),
    (
        "stock",
        "reserve-failed",
        None,
        {"reservation": REFUSED},
    ),
    ("payment", "paid", 350, {"charge": CHARGE}),
    ("payment", "paid", 350, {"charge": charges.settled(CHARGE, START)}),
    ("payment", "paid", 350, {"charge": charges.canceled(CHARGE, "o", 350, START)}),
    ("payment", "payment-failed", 350, {"charge": replace(CHARGE, status=charges.DECLINED)}),
    ("delivery", "delivery-arranged", None, {"shipment": Shipment("o", ITEMS, START)}),
]


@pytest.mark.parametrize(("publisher", "status", "amount", "records"), GENUINE)
async def test_what_the_publisher_has_on_record_is_verified(publisher, status, amount, records):
    tables = CountedTables(await tables_with(**records))

    assert await unverified(tables, claim(publisher, status, amount)) == ""
    assert tables.calls == {"lookup": 1}


@pytest.mark.parametrize(("publisher", "status", "amount", "records"), GENUINE)
async def test_records_of_other_services_do_not_verify(publisher, status, amount, records):
    everything = {
        "ticket": APPROVED,
        "reservation": RESERVATION,
        "charge": CHARGE,
        "shipment": Shipment("o", ITEMS, START),
    }
    tables = await tables_with(**{name: each for name, each in everything.items() if name not in records})

    why = await unverified(tables, claim(publisher, status, amount))

    assert why == f"{publisher} has no '{status}' on record for it"


@pytest.mark.parametrize(("publisher", "status", "amount", "records"), GENUINE)
async def test_other_items_and_amounts_are_not_verified(publisher, status, amount, records):
    tables = await tables_with(**records)

    more = await unverified(tables, claim(publisher, status, amount, (CartItem("blue", 99),)))
    dearer = await unverified(tables, claim(publisher, status, 1))

    assert more == f"{publisher} has other items on record"
    assert dearer == f"{publisher} has another amount on record"


@pytest.mark.parametrize(("owner", "why"), [("alice", ""), ("mallory", "stock has another owner on record")])
@pytest.mark.parametrize("ticket", [APPROVED, None], ids=["with its ticket", "without"])
async def test_owner_is_compared(owner, why, ticket):
    digest = owner_digest("o", "alice")
    tables = await tables_with(ticket=ticket, reservation=replace(RESERVATION, owner_digest=digest))
    message = TicketMessage("o", "reserved", ITEMS, 350, owner_digest=owner_digest("o", owner))

    assert await unverified(tables, letter(message.to_event("e", {}).body, "stock")) == why


@pytest.mark.parametrize(
    ("publisher", "status", "records"),
    [
        ("purchase", "approved", {"ticket": CANCELED}),
        ("purchase", "reserved", {"ticket": APPROVED}),
        ("purchase", "delivery-arranged", {"ticket": APPROVED}),
        ("stock", "paid", {"reservation": RESERVATION}),
        ("stock", "reserved", {"reservation": inventory.tombstone("o", START)}),
        ("stock", "reserve-failed", {"reservation": inventory.tombstone("o", START)}),
        ("stock", "sold", {"reservation": inventory.settled(RESERVATION, inventory.SOLD, START)}),
        ("payment", "paid", {"charge": replace(CHARGE, status=charges.DECLINED)}),
        ("payment", "paid", {"charge": charges.canceled(None, "o", 0, START)}),
        ("payment", "paid", {"charge": replace(CHARGE, status=charges.CHARGING)}),
        ("payment", "payment-failed", {"charge": CHARGE}),
        ("delivery", "approved", {"shipment": Shipment("o", ITEMS, START)}),
        ("payment", "paid", {}),
    ],
)
async def test_what_the_publisher_did_not_publish_is_not_verified(publisher, status, records):
    tables = await tables_with(**{"ticket": APPROVED, **records})

    assert await unverified(tables, claim(publisher, status, 350)) == (
        f"{publisher} has no '{status}' on record for it"
    )


@pytest.mark.parametrize(
    ("found", "why"),
    [
        (letter(b"[" * 100_000), "it is malformed"),
        (letter(b'{"orderid": "o", "status": "paid", "amount": ' + b"9" * 9_999 + b"}"), "it is malformed"),
        (letter(b"\xff"), "it is malformed"),
        (letter(b'{"orderid": "o", "status": "paid", "amount": 1, "amount": 350}'), "it is malformed"),
        (letter(b'{"orderid": "o", "status": "paid", "x": [{"y": 1, "y": 2}]}'), "it is malformed"),
        (letter(b"{}", type="billing.Invoice"), "it is no order ticket"),
        (letter(b"{}", eventid=""), "it is malformed"),
        (letter(b"{}", eventid="a\nb"), "it is malformed"),
        (letter(b"{}", dead_letter_subscription="x\x1b[2J"), "its topic is unknown"),
        (letter(b"{}", dead_letter_subscription=""), "its topic is unknown"),
    ],
)
async def test_dead_letter_about_no_order_is_not_verified(found, why):
    assert await unverified(await tables_with(), found) == why
    assert len(str(found)) < 1_000


async def test_corrupt_and_unavailable_records_verify_nothing():
    tables = await tables_with(charge=CHARGE)
    key = Key("Payment", "o")
    tables.rows[key] = Row({**tables.rows[key].entity, "amount": "350"}, 1)

    class NoTables(MemoryTables):
        async def lookup(self, keys):
            raise Unavailable("no database")

    assert await unverified(tables, claim("payment", "paid", 350)) == (
        "corrupt: Payment o: Charge.amount: its type is str"
    )
    assert await unverified(NoTables(), claim("payment", "paid", 350)) == "the records are unavailable"


async def test_many_dead_letters_are_verified_by_one_lookup():
    tables = CountedTables(await tables_with(charge=CHARGE))
    letters = [claim("payment", "paid", 350), letter(b"rubbish")] * 50

    found = await verify(tables, [(letter.topic, letter.message) for letter in letters])

    assert found == ["", "it is malformed"] * 50
    assert tables.calls == {"lookup": 1}


def test_long_texts_of_a_dead_letter_are_cut():
    body = json.dumps({"orderid": "o" * 1_000_000, "status": "s" * 1_000_000}).encode()

    found = letter(body, redriven="9" * 5_000)

    assert len(str(found)) < 500
    assert found.redriven == 0
    *_, shown, size = found.describe()
    assert len(shown) == MAX_BODY + 2
    assert size == f"  … ({len(body)} bytes)"


def test_event_of_another_type_is_listed_as_what_it_is():
    body = TicketMessage("o", "paid", ITEMS).to_event("e", {}).body

    listed = str(letter(body, type="loyalty.Granted"))

    assert "loyalty.Granted" in listed
    assert "order o" not in listed
    assert "order o: paid" in str(letter(body))
