"""One order's history, composed from the records of all services."""

from dataclasses import replace

import pytest

from contract.order_history import OrderEvent, OrderSnapshot
from contract.tickets import TicketMessage
from rpc.delivery_pb2 import Shipment
from rpc.payment_pb2 import Charge
from rpc.purchase_pb2 import OrderHistoryEntry
from rpc.stock_pb2 import Reservation


def moment(second: int) -> str:
    return f"2026-11-21T12:00:{second:02}.000Z"


def history(*statuses: str) -> tuple[OrderHistoryEntry, ...]:
    return tuple(
        OrderHistoryEntry(
            status=status, time=moment(number), cause="client" if status == "canceled" else status
        )
        for number, status in enumerate(statuses)
    )


def snapshot(*statuses: str, complete: bool = True, **found) -> OrderSnapshot:
    return OrderSnapshot(
        history(*statuses),
        found.get("reservation"),
        found.get("charge"),
        found.get("shipment"),
        complete,
    )


RESERVED = Reservation(status="reserved", amount=300, time=moment(1))
SOLD = Reservation(status="sold", amount=300, time=moment(1), settled_time=moment(8))
RELEASED = Reservation(status="released", amount=300, time=moment(1), settled_time=moment(8))
REJECTED = Reservation(status="refused", reason="sold-out", time=moment(1))
NEVER_RESERVED = Reservation(status="released", time=moment(1))
WAIVED = Reservation(status="sold", waives_payment=True, amount=50, time=moment(1), settled_time=moment(8))
CHARGING = Charge(status="charging", amount=300, time=moment(2))
CHARGED = Charge(status="charged", amount=300, time=moment(2))
SETTLED = Charge(status="settled", amount=300, time=moment(2), settled_time=moment(9))
DECLINED = Charge(status="declined", amount=300, reason="limit", time=moment(2))
REFUNDED = Charge(status="canceled", amount=300, refunded=300, time=moment(2), settled_time=moment(9))
NEVER_CHARGED = Charge(status="canceled", time=moment(2))
SHIPPED = Shipment(status="arranged", time=moment(7))
APPROVED = ("pre-approved", "reserved", "approved", "delivery-arranged")


@pytest.mark.parametrize(
    ("found", "keys"),
    [
        (
            snapshot(*APPROVED, reservation=SOLD, charge=SETTLED, shipment=SHIPPED),
            (
                "purchase.pre-approved stock.reserved purchase.approved payment.paid stock.sold"
                " payment.settled delivery.delivery-arranged"
            ),
        ),
        (
            snapshot("pre-approved", "approved", reservation=WAIVED),
            "purchase.pre-approved stock.paid purchase.approved stock.sold",
        ),
        (
            snapshot("pre-approved", "reserve-failed", reservation=REJECTED),
            "purchase.pre-approved stock.reserve-failed purchase.reserve-failed",
        ),
        (
            snapshot("pre-approved", "payment-failed", reservation=RELEASED, charge=DECLINED),
            (
                "purchase.pre-approved stock.reserved payment.payment-failed stock.released"
                " purchase.payment-failed"
            ),
        ),
        (
            snapshot("pre-approved", "canceled", reservation=NEVER_RESERVED, charge=NEVER_CHARGED),
            "purchase.pre-approved stock.released purchase.canceled payment.canceled",
        ),
        (
            snapshot("pre-approved", "canceled", reservation=RELEASED, charge=REFUNDED),
            (
                "purchase.pre-approved stock.reserved purchase.canceled payment.paid stock.released"
                " payment.canceled"
            ),
        ),
        # An intention is no event.
        (
            snapshot("pre-approved", "reserved", reservation=RESERVED, charge=CHARGING),
            "purchase.pre-approved stock.reserved",
        ),
        # The ticket's history stands in for unavailable services.
        (
            snapshot(*APPROVED, complete=False),
            "purchase.pre-approved stock.reserved purchase.approved delivery.delivery-arranged",
        ),
    ],
)
def test_events_on_record_are_in_the_order_of_their_times(found: OrderSnapshot, keys: str):
    assert sorted(event.key for event in found.events()) == sorted(keys.split())
    assert [event.time for event in found.events()] == sorted(event.time for event in found.events())


def test_events_have_amount_and_reason():
    events = {
        event.key: event
        for event in (
            *snapshot("pre-approved", "canceled", reservation=RESERVED, charge=DECLINED).events(),
            *snapshot("pre-approved", reservation=REJECTED).events(),
        )
    }

    assert events["stock.reserved"].amount == 300
    assert events["payment.payment-failed"].reason == "limit"
    assert events["purchase.canceled"].reason == "client"
    assert events["stock.reserve-failed"].reason == "sold-out"


def test_replies_are_in_the_trace_of_the_checkout_and_settling_in_that_of_the_terminal_status():
    traced = (
        OrderHistoryEntry(status="pre-approved", time=moment(0), cause="checkout", trace_id="a" * 32),
        OrderHistoryEntry(status="canceled", time=moment(5), cause="client", trace_id="b" * 32),
    )

    def traces(**found) -> dict[str, str | None]:
        events = replace(snapshot("canceled", **found), history=traced).events()
        return {event.key: event.trace_id and event.trace_id[0] for event in events}

    purchase = {"purchase.pre-approved": "a", "purchase.canceled": "b"}
    late = {"stock.reserved": "a", "stock.released": "b", "payment.paid": "a", "payment.canceled": "b"}
    assert traces(reservation=RELEASED, charge=REFUNDED) == {**purchase, **late}
    early = {"stock.released": "b", "payment.canceled": "b"}
    assert traces(reservation=NEVER_RESERVED, charge=NEVER_CHARGED) == {**purchase, **early}
    waived = {"stock.paid": "a", "stock.sold": "b"}
    assert traces(reservation=WAIVED) == {**purchase, **waived}
    rejected = {"stock.reserve-failed": "a", "payment.payment-failed": "a"}
    assert traces(reservation=REJECTED, charge=DECLINED) == {**purchase, **rejected}


def test_untraced_events_have_no_trace():
    found = snapshot(*APPROVED, reservation=SOLD, charge=SETTLED, shipment=SHIPPED)

    assert {event.trace_id for event in found.events()} == {None}


@pytest.mark.parametrize(
    ("found", "is_settled"),
    [
        (snapshot(*APPROVED, reservation=SOLD, charge=SETTLED, shipment=SHIPPED), True),
        (snapshot(*APPROVED, reservation=SOLD, charge=SETTLED), False),
        # Payment or stock answered before purchase, when it had no record yet.
        (snapshot(*APPROVED, reservation=SOLD, shipment=SHIPPED), False),
        (snapshot(*APPROVED, charge=SETTLED, shipment=SHIPPED), False),
        (snapshot(*APPROVED, reservation=RESERVED, charge=SETTLED, shipment=SHIPPED), False),
        (snapshot(*APPROVED, reservation=SOLD, charge=CHARGED, shipment=SHIPPED), False),
        (snapshot(*APPROVED, reservation=SOLD, charge=CHARGING, shipment=SHIPPED), False),
        (snapshot(*APPROVED, reservation=WAIVED, shipment=SHIPPED), True),
        (snapshot(*APPROVED, reservation=SOLD, charge=SETTLED, shipment=SHIPPED, complete=False), False),
        (snapshot("pre-approved"), False),
        (snapshot("pre-approved", "reserved", reservation=RESERVED), False),
        (snapshot("pre-approved", "reserve-failed", reservation=REJECTED), True),
        (snapshot("pre-approved", "payment-failed", reservation=RESERVED, charge=DECLINED), False),
        (snapshot("pre-approved", "payment-failed", reservation=RELEASED, charge=DECLINED), True),
        # Stock and payment have not received the cancellation yet, and may still reserve or charge.
        (snapshot("pre-approved", "canceled"), False),
        (snapshot("pre-approved", "canceled", reservation=NEVER_RESERVED), False),
        (snapshot("pre-approved", "canceled", charge=NEVER_CHARGED), False),
        (snapshot("pre-approved", "canceled", reservation=NEVER_RESERVED, charge=NEVER_CHARGED), True),
        (snapshot("pre-approved", "canceled", reservation=RELEASED, charge=CHARGED), False),
    ],
)
def test_order_is_settled_once_nothing_is_reserved_or_charged(found: OrderSnapshot, is_settled: bool):
    assert found.is_settled is is_settled


@pytest.mark.parametrize(
    ("found", "is_released"),
    [
        (snapshot("pre-approved", "canceled"), True),
        (snapshot("pre-approved", "canceled", complete=False), False),
        (snapshot("pre-approved", "canceled", reservation=NEVER_RESERVED), True),
        (snapshot("pre-approved", "canceled", reservation=RESERVED), False),
        (snapshot("pre-approved", "canceled", reservation=RELEASED, charge=CHARGING), False),
        (snapshot("pre-approved", "canceled", reservation=RELEASED, charge=CHARGED), False),
        (snapshot("pre-approved", "canceled", reservation=RELEASED, charge=REFUNDED), True),
        (snapshot("pre-approved"), False),
        (snapshot("pre-approved", "approved", reservation=WAIVED), False),
    ],
)
def test_failed_order_is_released_once_nothing_on_record_is_open(found: OrderSnapshot, is_released: bool):
    assert found.is_released is is_released


@pytest.mark.parametrize(
    ("service", "status", "expected"),
    [
        ("stock", "reserved", {"amount": 300, "reason": "why"}),
        ("payment", "payment-failed", {"amount": 300, "reason": "why"}),
        ("purchase", "payment-failed", {}),
        ("purchase", "approved", {}),
        ("purchase", "canceled", {"reason": "why"}),
    ],
)
def test_amount_and_reason_are_those_of_the_service_that_decided(service: str, status: str, expected):
    """Purchase only passes on the others' amounts and reasons."""
    ticket = TicketMessage("o-1", status, (), 300, "why")

    assert OrderEvent.from_event(service, ticket, "t") == OrderEvent(service, status, "t", **expected)
