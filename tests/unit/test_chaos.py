"""The chaos tests' own parts: a check that cannot fail would prove nothing."""

import json
from collections import Counter
from itertools import islice
from random import Random

import grpc
import pytest

from bench.proxy import proxied
from contract.tickets import CartItem
from sagactl.project import PROJECT
from sagakit.tables import Insert, Key
from sagakit.testing.tables import MemoryTables
from services.purchase.ticket import Ticket
from tests.chaos.checks import added_fields, lost_fields, order_problems
from tests.chaos.customers import AcceptedOrder
from tests.chaos.faults import POSSIBLE, Fault, Faults
from tests.chaos.future import ADDED, STORED
from tests.chaos.proxy import faulty
from tests.chaos.schedule import victims
from tests.support.grpcserver import serving

SERVICE = "google.datastore.v1.Datastore"


class Always(Faults):
    """Chooses the same fault for every call."""

    def __init__(self, fault):
        super().__init__(seed=1)
        self._fault = fault

    def of(self, rpc):
        return self._fault

    def delay(self):
        return 0.01


def accepted(**basket):
    return AcceptedOrder(basket, at=0)


def ticket(orderid, status, cartid="c", **items):
    cart_items = tuple(CartItem(itemid, count) for itemid, count in items.items())
    return Ticket(orderid=orderid, cartid=cartid, items=cart_items, status=status, history=())


def found(order, *tickets):
    return list(order_problems({"1": order}, {each.orderid: each for each in tickets}))


def test_expected_final_status_is_no_problem():
    assert found(accepted(blue=3), ticket("1", "approved", blue=3)) == []


@pytest.mark.parametrize(
    ("order", "tickets", "problem"),
    [
        (accepted(blue=3), [], "order 1 is lost"),
        (
            accepted(blue=3),
            [ticket("1", "approved", "a", blue=3), ticket("2", "approved", "b", blue=3)],
            "no client placed order 2",
        ),
        (accepted(blue=3), [ticket("1", "approved", blue=6)], "instead of {'blue': 3}"),
        (accepted(blue=3), [ticket("1", "canceled", blue=3)], "is canceled"),
        (accepted(blue=3), [ticket("1", "reserved", blue=3)], "is reserved"),
        (accepted(yellow=1), [ticket("1", "approved", yellow=1)], "is approved"),
        (accepted(gold=1), [ticket("1", "approved", gold=1)], "is approved"),
        (
            AcceptedOrder({"blue": 3}, at=0, canceled=True),
            [ticket("1", "approved", blue=3)],
            "not {'canceled'}",
        ),
    ],
)
def test_difference_from_the_customers_ledger_is_a_problem(order, tickets, problem):
    (line,) = found(order, *tickets)

    assert problem in line


def test_cart_ordered_twice_is_a_problem():
    ledger = {"1": accepted(blue=1), "2": accepted(blue=1)}
    tickets = {each: ticket(each, "approved", blue=1) for each in ledger}

    assert list(order_problems(ledger, tickets)) == ["cart c was ordered 2 times"]


def test_services_are_killed_equally_often():
    killed = Counter(islice(victims(Random(1)), 6 * len(PROJECT.programs)))

    assert killed == dict.fromkeys(PROJECT.programs, 6)


async def test_no_faults_before_begin_and_after_end():
    faults = Faults(seed=1)
    before = [faults.of("Commit") for _ in range(1_000)]
    faults.begin()
    between = {faults.of("Commit") for _ in range(1_000)}
    faults.end()
    after = [faults.of("Commit") for _ in range(1_000)]

    assert set(before) == set(after) == {None}
    assert between == {None, *POSSIBLE["Commit"]}


@pytest.mark.parametrize(
    ("fault", "seen", "answered"),
    [
        (None, 1, True),
        (Fault.REJECTED, 0, False),
        (Fault.UNANSWERED, 1, False),
        (Fault.DELAYED, 1, True),
        (Fault.DOUBLED, 2, True),
        (Fault.DROPPED, 0, True),
    ],
)
async def test_proxy_injects_the_chosen_fault(fault, seen, answered):
    calls = []

    async def commit(request, _):
        calls.append(request)
        return b"answer"

    async with (
        serving(SERVICE, {"Commit": commit}) as server,
        proxied(server, 0, faulty(Always(fault))) as proxy,
        grpc.aio.insecure_channel(proxy) as channel,
    ):
        try:
            await channel.unary_unary(f"/{SERVICE}/Commit")(b"request", timeout=5)
        except grpc.aio.AioRpcError:
            was_answered = False
        else:
            was_answered = True

    assert (calls, was_answered) == ([b"request"] * seen, answered)


@pytest.mark.parametrize(
    ("entity", "lost"),
    [
        ({**ADDED, "items": [ADDED, {"count": 3}]}, False),
        ({**ADDED, "items": [{"count": 3}]}, True),
        ({"items": [ADDED]}, True),
        ({"items": []}, True),
    ],
)
async def test_fields_of_the_future_version_that_another_has_erased_are_found(entity, lost, tmp_path):
    key = Key("Cart", "c")
    lines = [{"message": STORED, "stored": [[*key, count]]} for count in (1, 2, 0)]
    (tmp_path / "purchase-1.log").write_text(
        "starting\n" + "".join(json.dumps(each) + "\n" for each in lines)
    )
    tables = MemoryTables()
    await tables.commit([Insert(key, entity)])

    assert await lost_fields(tables, added_fields(tmp_path)) == [f"{key} lost fields"] * lost
