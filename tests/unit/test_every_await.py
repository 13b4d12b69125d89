"""The shop's reactions and commands with every fault at every await, and with each delivery repeated."""

import pytest

from contract.topology import TOPOLOGY
from rpc import delivery_pb2, payment_pb2, purchase_pb2, stock_pb2
from sagakit.testing import Fault, ServiceUnderTest, each_await_fails, each_delivery_twice
from services.delivery import usecases as delivery
from services.payment import usecases as payment
from services.purchase.ticket import REPORTS
from services.stock import usecases as stock
from tests.simulation.planted_bugs import BUGS
from tests.support.every_await import CASES, SEQUENCES
from tests.support.suite import BUILDERS


def service(name: str) -> ServiceUnderTest:
    return ServiceUnderTest(TOPOLOGY, name, BUILDERS[name])


def test_every_reaction_and_every_command_has_a_case():
    statuses = {
        "delivery": delivery.REACTIONS,
        "payment": payment.REACTIONS,
        "stock": stock.REACTIONS,
        "purchase": REPORTS,
    }
    files = (purchase_pb2, stock_pb2, payment_pb2, delivery_pb2)
    services = [each for file in files for each in file.DESCRIPTOR.services_by_name.values()]
    methods = [method.name for each in services for method in each.methods]

    assert {name.partition(":")[0] for name in CASES} == {
        *(f"{name} receives {status}" for name, mine in statuses.items() for status in mine),
        *(name for name in methods if not name.startswith(("Get", "List"))),
    }


@pytest.mark.parametrize("case", CASES)
async def test_every_fault_at_every_await_is_survived(case: str):
    name, act, check, prepare = CASES[case]

    runs = await each_await_fails(service(name), act, check, prepare=prepare)

    assert all(runs[fault] for fault in Fault)


@pytest.mark.parametrize("case", SEQUENCES)
async def test_each_delivery_may_come_twice(case: str):
    name, events, check, prepare = SEQUENCES[case]

    await each_delivery_twice(service(name), events, check, prepare=prepare)


PLANTED = {
    "payment receives reserved": "every_attempt_charges",
    "AddItem": "inbox_rows_are_not_written",
    "stock receives pre-approved": "inbox_rows_are_not_written",
    "released before": "stock_leaves_no_tombstone",
}
BY_NAME = {bug.name: bug for bug in BUGS}


@pytest.mark.parametrize("case", PLANTED)
async def test_planted_bug_is_found(case: str):
    promise = (
        test_every_fault_at_every_await_is_survived if case in CASES else test_each_delivery_may_come_twice
    )

    with BY_NAME[PLANTED[case]].plant(), pytest.raises(AssertionError) as found:
        await promise(case)

    assert found.value.__notes__
