"""Payment under concurrency: one order's events in any interleaving, with lost responses of the provider."""

import asyncio

from hypothesis import given, settings
from hypothesis import strategies as st

from contract.tickets import APPROVED, CANCELED, PAID, RESERVED, TicketMessage
from sagakit.errors import Unavailable
from services.payment.charge import CANCELED as REFUNDED
from tests.support.payment import PaymentHarness, a_ticket


class Race(PaymentHarness):
    """Two processes receive one order's events concurrently; the provider is slow and loses responses."""

    def __init__(self, pauses: list[int], lost_responses: int) -> None:
        super().__init__()
        self.processes = [self.process() for _ in range(2)]
        self._pauses = list(pauses)
        self._lost_responses = lost_responses
        self.provider.before_charging = self.pause
        self.provider.before_responding = self.respond

    async def pause(self) -> None:
        for _ in range(self._pauses.pop() if self._pauses else 0):
            await asyncio.sleep(0)

    async def respond(self) -> None:
        await self.pause()
        if self._lost_responses:
            self._lost_responses -= 1
            raise Unavailable("the response was lost")

    async def deliver(self, do, eventid: str, ticket: TicketMessage) -> None:
        """Redeliver until it is applied, as the broker does."""
        await self.pause()
        while True:
            try:
                return await do(eventid, ticket)
            except Unavailable:
                await self.pause()

    async def run(self, events: list[tuple[str, int]], end: str) -> None:
        """Deliver all events (status, process) concurrently, and `end`."""
        deliveries = []
        for number, (status, process) in enumerate([*events, (end, 0)]):
            payment = self.processes[process]
            do = {RESERVED: payment.charge, APPROVED: payment.settle}.get(status, payment.cancel)
            deliveries.append(self.deliver(do, f"{status} {number // 2}", a_ticket(status)))
        await asyncio.gather(*deliveries)


pauses = st.lists(st.integers(0, 12), max_size=24)


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from([RESERVED, CANCELED]), st.integers(0, 1)), max_size=6),
    pauses,
    st.integers(0, 3),
)
def test_failed_order_is_left_with_nothing_charged_in_any_interleaving(events, pauses, lost_responses):
    async def run() -> tuple[Race, str, list[str]]:
        race = Race(pauses, lost_responses)
        await race.run(events, CANCELED)
        before = len(race.published)
        await race.processes[1].charge("late", a_ticket(RESERVED))
        return race, await race.status(), race.statuses[before:]

    race, status, published_late = asyncio.run(run())

    assert (race.provider.balance, status, published_late) == (0, REFUNDED, [])


@settings(deadline=None)
@given(st.lists(st.integers(0, 1), min_size=1, max_size=6), pauses, st.integers(0, 3))
def test_order_is_charged_once_in_any_interleaving(processes, pauses, lost_responses):
    async def run() -> Race:
        race = Race(pauses, lost_responses)
        await race.run([(RESERVED, process) for process in processes], RESERVED)
        await race.run([(RESERVED, process) for process in processes], APPROVED)
        return race

    race = asyncio.run(run())

    assert race.provider.balance == 300
    assert set(race.statuses) == {PAID}
