"""The shop's history: planted violations in what customers were answered are found."""

from dataclasses import replace

import pytest

from contract.tickets import CartItem
from services.payment.charge import Charge
from services.purchase.ticket import HistoryEntry, Ticket
from services.stock.inventory import Reservation
from tests.support import shop_history
from tests.support.cart_model import CHECKED_OUT, Cart, CartCall
from tests.support.shop_history import END, GET, Seen, ShopHistory, recorded_events

CREATE, CLOSE, CHECKOUT = (
    CartCall("create", shows="created"),
    CartCall("close"),
    CartCall("checkout", shows="status"),
)
GET_CART = CartCall("get")
BLUE = (("blue", 3),)
APPROVED_STREAM = (
    "purchase.pre-approved",
    "stock.reserved",
    "payment.paid",
    "purchase.approved",
    "stock.sold",
    "payment.settled",
    "delivery.delivery-arranged",
)


class Customer:
    """Calls about one cart and its order, and their answers."""

    def __init__(self) -> None:
        self.history = ShopHistory()

    def cart(self, asks: CartCall, answer: object, key: str | None = None) -> None:
        calls = self.history.calls
        calls.ok(calls.begin("ada", shop_history.cart("c"), asks, key), answer)

    def reads(self, status: str, etag: str = "", body: str = "") -> None:
        calls = self.history.calls
        call = calls.begin("ada", shop_history.order("o"), GET)
        calls.ok(call, Seen(status, etag or f'"{status}"', body or status))

    def receives(self, *connections: tuple[str, ...], follower: str = "ada") -> None:
        calls = self.history.calls
        for each in connections:
            calls.ok(calls.begin(follower, shop_history.stream("o", follower), ""), each)
        self.history.check_stream("o", follower)

    def filled(self) -> None:
        self.cart(CREATE, (Cart("open"), True))
        self.cart(CartCall("set", "blue", 3), Cart("open", BLUE), key="k1")

    def cart_problem(self) -> str:
        self.history.check_cart("c")
        (problem,) = self.history.problems
        return problem

    def order_problem(self) -> str:
        self.history.check_order("o")
        (problem,) = self.history.problems
        return problem


@pytest.fixture
def customer() -> Customer:
    return Customer()


def test_cart_that_is_filled_changed_and_ordered_is_no_violation(customer):
    customer.filled()
    customer.cart(CartCall("create", shows="created"), (Cart("open", BLUE), False))
    customer.cart(CartCall("add", "blue", 2, "items"), (("blue", 5),), key="k2")
    customer.cart(CartCall("set", "red", 1), Cart("open", (("blue", 5), ("red", 1))))
    customer.cart(CartCall("set", "blue", 3), Cart("open", (("blue", 3), ("red", 1))))
    customer.cart(CHECKOUT, "cart-not-closed")
    customer.cart(CartCall("remove", "red"), Cart("open", BLUE))
    customer.cart(CLOSE, Cart("closed", BLUE))
    customer.cart(CartCall("set", "blue", 9), "cart-not-open")
    customer.cart(CartCall("set", "blue", 3), Cart("open", BLUE), key="k1")
    customer.cart(CHECKOUT, CHECKED_OUT)
    customer.cart(GET_CART, Cart(CHECKED_OUT, BLUE))

    customer.history.check_cart("c")

    assert customer.history.problems == []
    assert customer.history.checked == {"carts": 1}


@pytest.mark.parametrize(
    ("asks", "answer"),
    [
        (GET_CART, Cart("open")),
        (GET_CART, "unknown-cart"),
        (CREATE, (Cart("open"), True)),
        (CartCall("set", "red", 1), Cart("open", (("red", 1),))),
        (CartCall("add", "blue", 1, "items"), (("blue", 1),)),
        (CLOSE, Cart("closed")),
        (CHECKOUT, CHECKED_OUT),
    ],
)
def test_stale_read_and_lost_update_are_found(customer, asks, answer):
    customer.filled()
    customer.cart(asks, answer)

    assert "no order of the calls explains" in customer.cart_problem()


def test_answer_under_another_key_is_found(customer):
    customer.filled()
    customer.cart(CartCall("set", "blue", 7), Cart("open", BLUE), key="k2")

    assert "no order of the calls explains" in customer.cart_problem()


def test_second_answer_under_a_key_is_found(customer):
    customer.filled()
    customer.cart(CartCall("set", "blue", 3), Cart("open", (*BLUE, ("red", 1))), key="k1")

    assert "key k1 has two answers" in customer.cart_problem()


@pytest.mark.parametrize(
    "statuses",
    [("pre-approved", "reserved", "approved"), ("pre-approved", "approved"), ("canceled", "canceled")],
)
def test_status_that_follows_the_transitions_is_no_violation(customer, statuses):
    for each in statuses:
        customer.reads(each)

    customer.history.check_order("o")

    assert customer.history.problems == []
    assert list(customer.history.status_problems({"o": statuses[-1]})) == []


@pytest.mark.parametrize(
    "statuses",
    [("reserved", "pre-approved"), ("approved", "canceled"), ("reserved", "reserve-failed")],
)
def test_status_that_goes_back_is_found(customer, statuses):
    for each in statuses:
        customer.reads(each)

    assert f"{statuses[1]} does not follow {statuses[0]}" in customer.order_problem()


def test_old_etag_is_found(customer):
    for etag in ('"1"', '"2"', '"1"'):
        customer.reads("reserved", etag, body=etag)

    assert '"1" was replaced' in customer.order_problem()


@pytest.mark.parametrize("second", [('"1"', "other"), ('"2"', "body")])
def test_etag_that_does_not_belong_to_one_body_is_found(customer, second):
    customer.reads("reserved", '"1"', "body")
    customer.reads("reserved", *second)

    assert "do not belong together" in customer.order_problem()


def test_answer_about_another_order_is_found(customer):
    calls = customer.history.calls
    calls.ok(calls.begin("ada", shop_history.order("o"), GET), "another order: {}")

    assert "another order: {}" in customer.order_problem()


def test_status_that_was_seen_and_is_not_on_record_is_found(customer):
    customer.reads("approved")
    customer.history.check_order("o")

    (problem,) = customer.history.status_problems({"o": "reserved"})

    assert problem == "order o was approved for a customer, and is reserved on record"


def test_whole_stream_over_several_connections_is_no_violation(customer):
    customer.receives(APPROVED_STREAM[:2], (), (*APPROVED_STREAM[2:], END))

    assert customer.history.problems == []
    assert list(customer.history.stream_problems({"o": APPROVED_STREAM})) == []


def test_repeated_event_is_found(customer):
    customer.receives(APPROVED_STREAM[:2], APPROVED_STREAM[1:3])

    assert customer.history.problems == ["stream of order o: event stock.reserved came 2 times"]


@pytest.mark.parametrize("missing", APPROVED_STREAM)
def test_missing_event_is_found(customer, missing):
    customer.receives((*(each for each in APPROVED_STREAM if each != missing), END))

    (problem,) = customer.history.stream_problems({"o": APPROVED_STREAM})

    assert problem == f"stream of order o: event {missing} never came"


def test_event_that_is_not_on_record_is_found(customer):
    customer.receives((*APPROVED_STREAM, "stock.released", END))

    (problem,) = customer.history.stream_problems({"o": APPROVED_STREAM})

    assert problem == "stream of order o: event stock.released is not on record"


@pytest.mark.parametrize("told", [True, False])
def test_release_of_what_was_never_taken_may_come_after_the_end(customer, told):
    recorded = ("purchase.pre-approved", "purchase.canceled", "stock.released", "payment.canceled")
    customer.receives((*(recorded if told else recorded[:2]), END))

    assert list(customer.history.stream_problems({"o": recorded})) == []


def test_all_events_of_a_service_may_come_after_the_end_of_a_canceled_order(customer):
    recorded = ("purchase.pre-approved", "purchase.canceled", "stock.reserve-failed", "payment.canceled")
    customer.receives((*recorded[:2], "payment.canceled", END))

    assert list(customer.history.stream_problems({"o": recorded})) == []


def test_event_of_a_service_that_the_stream_has_events_of_must_not_come_after_the_end(customer):
    recorded = ("purchase.pre-approved", "purchase.canceled", "stock.reserved", "stock.released")
    customer.receives((*recorded[:3], END))

    (problem,) = customer.history.stream_problems({"o": recorded})

    assert problem == "stream of order o: event stock.released never came"


def test_only_what_is_unfinished_is_kept(customer):
    for number in range(100):
        calls = customer.history.calls
        calls.ok(calls.begin("ada", shop_history.order(str(number)), GET), Seen("approved", "", ""))
        customer.history.check_order(str(number))

    assert customer.history.calls.resources == []


ITEMS = (CartItem("blue", 3),)
TICKET = Ticket(
    "o", "c", ITEMS, "approved", tuple(HistoryEntry(s, 1.0, "x") for s in ("pre-approved", "approved"))
)
RESERVATION = Reservation("o", "reserved", ITEMS, time=1.0)
CHARGE = Charge("o", "charged", 1.0)


@pytest.mark.parametrize(
    ("reservation", "charge", "events"),
    [
        (None, None, set()),
        (RESERVATION, None, {"stock.reserved"}),
        (replace(RESERVATION, waives_payment=True), None, {"stock.paid"}),
        (replace(RESERVATION, status="refused"), None, {"stock.reserve-failed"}),
        (replace(RESERVATION, status="released"), None, {"stock.released"}),
        (replace(RESERVATION, status="sold", settled_time=2.0), None, {"stock.reserved", "stock.sold"}),
        (
            replace(RESERVATION, status="released", settled_time=2.0),
            None,
            {"stock.reserved", "stock.released"},
        ),
        (None, CHARGE, {"payment.paid"}),
        (None, replace(CHARGE, status="declined"), {"payment.payment-failed"}),
        (None, replace(CHARGE, status="canceled"), {"payment.canceled"}),
        (None, replace(CHARGE, status="settled", settled_time=2.0), {"payment.paid", "payment.settled"}),
        (None, replace(CHARGE, status="canceled", settled_time=2.0), {"payment.paid", "payment.canceled"}),
    ],
)
def test_events_that_records_prove(reservation, charge, events):
    found = recorded_events(TICKET, reservation, charge, shipped=True)

    assert found == events | {"purchase.pre-approved", "purchase.approved", "delivery.delivery-arranged"}
