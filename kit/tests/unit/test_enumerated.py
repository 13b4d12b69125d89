"""Each failure of a handler, one after another: a correct service passes, and each mistake is found."""

import json
from collections import Counter

import pytest

from sagakit.consumer import Outcome
from sagakit.errors import Unavailable
from sagakit.events import Event
from sagakit.service import Kit, Service, ServiceFactory
from sagakit.store import Changes, Snapshot
from sagakit.tables import Key
from sagakit.testing import (
    Fault,
    Left,
    ServiceProcess,
    ServiceUnderTest,
    each_await_fails,
    each_delivery_twice,
)
from sagakit.topology import ServiceDeclaration, Topology

TOPOLOGY = Topology(
    (
        ServiceDeclaration("meter", topic="meter"),
        ServiceDeclaration("bills", topic="bills", subscribes_to=("meter",)),
    )
)
BILL = Key("Bill", "all")


def used(eventid: str, units: int) -> Event:
    return Event(eventid, "meter.Used", json.dumps(units).encode(), topic="meter")


def bills(*, inbox: bool = True, atomic: bool = True) -> ServiceFactory:
    """Adds up what was used, and publishes each sum. `atomic`: in one transaction."""

    def build(kit: Kit) -> Service:
        async def add(event: Event) -> Outcome:
            billed = Event(kit.runtime.new_id(), "bills.Billed", b"")

            def decide(found: Snapshot) -> Changes[Outcome]:
                sum_before = (found.get(BILL) or {"sum": 0})["sum"]
                bill = {BILL: {"sum": sum_before + json.loads(event.body)}}
                return Changes(Outcome.APPLIED, bill, [billed] if atomic else [])

            once = kit.inbox.once(event.eventid, decide, load=lambda _: Outcome.DUPLICATE)
            result = (await kit.store.transact([BILL], once if inbox else decide)).result
            if not atomic and result is Outcome.APPLIED:
                await kit.store.transact((), lambda _: Changes(None, events=[billed]))
            return result

        return Service(handlers={"meter.Used": add})

    return build


def service(**mistakes: bool) -> ServiceUnderTest:
    return ServiceUnderTest(TOPOLOGY, "bills", bills(**mistakes))


async def two_are_used(process: ServiceProcess) -> None:
    await process.handle(used("e1", 2))


def two_are_billed_once(left: Left) -> None:
    assert left.entities("Bill") == {"all": {"sum": 2}}
    assert [event.type for event in left.published] == ["bills.Billed"]


async def test_correct_handler_passes_every_fault_at_every_await():
    runs = await each_await_fails(service(), two_are_used, two_are_billed_once)

    assert runs == {
        Fault.DIES_BEFORE: 2,
        Fault.DIES_AFTER: 2,
        Fault.UNAVAILABLE: 2,
        Fault.LOST: 1,
        Fault.APPLIED: 1,
        Fault.CONFLICT: 1,
        Fault.DUPLICATE: 2,
    }


@pytest.mark.parametrize(
    ("mistake", "notes"),
    [
        ({"inbox": False}, "the process dies after the call took effect, at await 2"),
        ({"atomic": False}, "the process dies before the call takes effect, at await 3"),
    ],
    ids=str,
)
async def test_mistake_is_found_with_the_await_at_which_it_shows(mistake, notes: str):
    with pytest.raises(AssertionError) as failed:
        await each_await_fails(service(**mistake), two_are_used, two_are_billed_once)

    assert failed.value.__notes__ == [notes]


async def test_what_was_prepared_is_there_and_fails_at_no_await():
    async def three_were_used(process: ServiceProcess) -> None:
        await process.handle(used("e0", 3))

    def five_are_billed(left: Left) -> None:
        assert left.entities("Bill") == {"all": {"sum": 5}}

    runs = await each_await_fails(service(), two_are_used, five_are_billed, prepare=three_were_used)

    assert runs[Fault.DIES_BEFORE] == 2


async def test_act_that_keeps_failing_fails():
    async def fails(process: ServiceProcess) -> None:
        await process.handle(used("e1", 2))
        raise Unavailable("always")

    with pytest.raises(Unavailable, match="always"):
        await each_await_fails(service(), fails, lambda _: None)


async def test_each_delivery_is_repeated_at_once_and_late():
    orders: Counter[str] = Counter()

    def six_are_billed(left: Left) -> None:
        orders["runs"] += 1
        assert left.entities("Bill") == {"all": {"sum": 6}}
        assert len(left.published) == 3

    events = [used(f"e{number}", number) for number in (1, 2, 3)]

    await each_delivery_twice(service(), events, six_are_billed)

    assert orders["runs"] == 6
    with pytest.raises(AssertionError) as failed:
        await each_delivery_twice(service(inbox=False), events, six_are_billed)
    assert failed.value.__notes__ == ["event 0 (meter.Used) is delivered again at once"]
