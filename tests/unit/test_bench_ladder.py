"""The bench's ladder: when orders arrive, what is measured from, and which rungs count."""

import asyncio
import json
import statistics
import time
from collections import Counter
from contextlib import aclosing, asynccontextmanager

import pytest

from bench.http import Connection
from bench.ladder import summary
from bench.open_loop import Observed, OpenLoop, arrivals
from bench.rungs import Rung, figures, is_flat, problems, sustainable, thirds
from bench.suite import Queued
from sagakit.ctl.local.ports import LOOPBACK
from tests.support.eventually import eventually

FLAT = [4, 6, 5, 7, 4, 5, 6, 5, 4, 6, 5, 5]
EMPTY = Queued()
GROWING = [10 * number for number in range(30)]


class Gateway:
    """Answers checkouts with `status` once it is open; keeps the number of requests at the same time."""

    def __init__(self, status=200):
        self.open = asyncio.Event()
        self.busiest = 0
        self.connections = 0
        self.address = ""
        self.close_after_answer = False
        self._status = status
        self._busy = 0
        self.handlers = set()

    async def serve(self, reader, writer):
        self.handlers.add(asyncio.current_task())
        self.connections += 1
        try:
            await self._answer(reader, writer)
        finally:
            writer.close()

    async def _answer(self, reader, writer):
        while head := await self._head(reader):
            length = next(line for line in head.split("\r\n") if line.lower().startswith("content-length"))
            cart = json.loads(await reader.readexactly(int(length.partition(":")[2])))
            self._busy += 1
            self.busiest = max(self.busiest, self._busy)
            await self.open.wait()
            self._busy -= 1
            answer = json.dumps({"order_ticket": {"orderid": cart["cartid"]}}).encode()
            writer.write(f"HTTP/1.1 {self._status} -\r\ncontent-length: {len(answer)}\r\n\r\n".encode())
            writer.write(answer)
            if self.close_after_answer:
                break

    @staticmethod
    async def _head(reader):
        try:
            return (await reader.readuntil(b"\r\n\r\n")).decode()
        except asyncio.IncompleteReadError:
            return ""


class Approved:
    """Approves every order at once, or never."""

    def __init__(self, never=False):
        self._never = never

    async def of(self, orderid):
        if self._never:
            await asyncio.Event().wait()
        return time.perf_counter()


@asynccontextmanager
async def serving(gateway):
    server = await asyncio.start_server(gateway.serve, LOOPBACK, 0)
    gateway.address = f"http://{LOOPBACK}:{server.sockets[0].getsockname()[1]}"
    try:
        yield gateway
    finally:
        server.close()
        for handler in gateway.handlers:
            handler.cancel()
        await asyncio.gather(*gateway.handlers, return_exceptions=True)


def rung(rate=10.0, in_flight=FLAT, queued=(EMPTY, EMPTY), settle_seconds=0.3, **observed):
    answers = Counter(observed.pop("answers", {"200": 3}))
    outcomes = Observed(
        sagas=[50.0, 60.0, 70.0], lags=[1.0, 1.0, 2.0], answers=answers, in_flight=in_flight, **observed
    )
    return Rung(rate, 30.0, outcomes, 3, queued, settle_seconds)


def test_arrivals_are_repeatable():
    assert arrivals(50, 10, seed=1) == arrivals(50, 10, seed=1)
    assert arrivals(50, 10, seed=1) != arrivals(50, 10, seed=2)


def test_arrivals_have_the_rate_and_exponential_gaps():
    times = arrivals(100, 100, seed=3)
    gaps = [after - before for before, after in zip(times, times[1:], strict=False)]

    assert times[0] > 0
    assert times[-1] < 100
    assert min(gaps) > 0
    assert 9_500 < len(times) < 10_500
    # Of an exponential distribution the mean and the standard deviation are equal; at constant gaps it is 0.
    assert statistics.stdev(gaps) == pytest.approx(statistics.mean(gaps), rel=0.05)


async def test_latency_counts_from_when_an_order_was_due():
    """A client that waits for its answer would measure one slow order, and send the others later."""
    times = [0.01 * number for number in range(20)]
    async with serving(Gateway()) as gateway, aclosing(OpenLoop(gateway.address, Approved())) as load:
        await load.run([f"c-{at}" for at in times], times, 0.2)
        await eventually(lambda: gateway.busiest == 20)
        gateway.open.set()
        await load.drain()

    assert load.observed.answers == {"200": 20}
    # The last was due 10 ms before the end of the arrivals, the first 200 ms before.
    assert min(load.observed.sagas) >= 9
    assert max(load.observed.sagas) >= 199
    assert statistics.median(load.observed.sagas) >= 99


async def test_lag_of_the_load_generator_is_a_part_of_the_latency():
    async with serving(Gateway()) as gateway, aclosing(OpenLoop(gateway.address, Approved())) as load:
        gateway.open.set()
        asyncio.get_running_loop().call_later(0.05, time.sleep, 0.2)
        await load.run(["a"], [0.1], 0.15)
        await load.drain()

    assert load.observed.lags[0] >= 140
    assert load.observed.sagas[0] >= load.observed.lags[0]


async def test_orders_in_flight_are_bounded():
    times = [0.001 * number for number in range(10)]
    async with (
        serving(Gateway()) as gateway,
        aclosing(OpenLoop(gateway.address, Approved(), max_in_flight=4)) as load,
    ):
        await load.run([f"c-{at}" for at in times], times, 0.3)
        await eventually(lambda: gateway.busiest == 4)
        gateway.open.set()
        await load.drain()

    assert (load.observed.unsent, gateway.busiest, load.observed.answers) == (6, 4, {"200": 4})
    assert max(load.observed.in_flight) == 4


async def test_rejected_orders_are_counted_by_status_and_not_retried():
    async with (
        serving(Gateway(status=503)) as gateway,
        aclosing(OpenLoop(gateway.address, Approved())) as load,
    ):
        gateway.open.set()
        await load.run(["a", "b"], [0.0, 0.0], 0.05)
        await load.drain()

    assert load.observed.answers == {"503": 2}
    assert load.observed.sagas == []


async def test_unreachable_gateway_is_an_outcome():
    async with serving(Gateway()) as gateway:
        address = gateway.address

    async with aclosing(OpenLoop(address, Approved())) as load:
        await load.run(["a"], [0.0], 0.05)
        await load.drain()

    assert load.observed.answers == {"ConnectionRefusedError": 1}


async def test_orders_that_never_end_are_unfinished_after_the_drain_timeout():
    async with serving(Gateway()) as gateway:
        gateway.open.set()
        load = OpenLoop(gateway.address, Approved(never=True), drain_timeout_seconds=0.1)
        async with aclosing(load):
            await load.run(["a", "b"], [0.0, 0.0], 0.05)
            await load.drain()

    assert load.observed.unfinished == 2


async def test_connection_that_the_gateway_closed_is_opened_again():
    async with serving(Gateway()) as gateway:
        gateway.open.set()
        gateway.close_after_answer = True
        connection = Connection(gateway.address)
        await connection.call("/checkout", cartid="a")
        await eventually(lambda: connection.is_stale)
        await connection.call("/checkout", cartid="b")
        connection.close()

    assert gateway.connections == 2


def test_thirds_leave_out_the_ramp():
    assert thirds([0, *[6] * 3, *[7] * 3, *[9] * 3]) == (6, 9)
    assert thirds([5]) == (5, 5)
    assert thirds([]) == (0, 0)


def test_queue_that_chance_explains_is_flat():
    assert is_flat(*thirds(FLAT))
    assert is_flat(0, 8)
    assert is_flat(100, 140)
    assert is_flat(60, 10)


def test_planted_growth_is_not_flat():
    assert not is_flat(*thirds(GROWING))
    assert not is_flat(0, 12)
    assert not is_flat(100, 170)


def test_rung_with_flat_queues_counts():
    assert problems(rung()) == []


@pytest.mark.parametrize(
    ("failing", "problem"),
    [
        (rung(in_flight=GROWING), "orders in flight grew from 70 to 250"),
        (rung(queued=(Queued(5, 0), Queued(40, 0))), "tickets that await a reply grew from 5 to 40"),
        (rung(queued=(Queued(0, 3), Queued(0, 400))), "unpublished events grew from 3 to 400"),
        (rung(answers={"200": 3, "503": 7}), "7 checkouts ended with 503"),
        (rung(unsent=4), "4 orders were not sent, too many were in flight"),
        (rung(unfinished=1), "1 orders were accepted and not approved in time"),
        (rung(settle_seconds=9.0), "the queues were empty only after 9.0 s"),
    ],
)
def test_problem_of_a_rung_is_named(failing, problem):
    assert problems(failing) == [problem]


def test_lag_of_the_load_generator_is_a_problem():
    late = rung()
    late.observed.lags.extend([400.0] * 5)

    assert problems(late) == ["the load generator lagged by 400 ms (p99)"]


def test_nothing_sustainable_is_claimed_above_a_rung_that_failed():
    rungs = [rung(10.0), rung(20.0), rung(30.0, unsent=1), rung(40.0)]

    assert sustainable(rungs) is rungs[1]
    assert sustainable(rungs[2:]) is None


def test_rung_without_any_approved_order_has_figures():
    nothing = Rung(400.0, 30.0, Observed(unsent=9), 0, (Queued(), Queued()), 0.1)

    assert figures(nothing)["orders"] == 9
    assert "p50_ms" not in figures(nothing)


def test_summary_tells_the_highest_rate_and_how_the_next_fails():
    failed = rung(20.0, answers={"200": 3, "503": 7})
    results = {
        "ladder, red, 10/s": {**figures(rung()), "orders_per_cpu_s": 90.0},
        "ladder, red, 20/s": figures(failed),
        "ladder, red": {"sustainable_per_s": 10.0, "beyond": {"20": problems(failed)}},
    }

    assert list(summary(results)) == [
        (
            "ladder, red: 10 orders/s are sustainable, p50 60.0 ms and p99 70.0 ms from when an order was "
            "due, 90.0 orders per CPU-second"
        ),
        "  at 20 orders/s: 7 checkouts ended with 503",
    ]


def test_summary_of_a_ladder_without_a_sustainable_rate():
    results = {"ladder, red": {"sustainable_per_s": None, "beyond": {"25": ["it failed"]}}}

    assert list(summary(results)) == ["ladder, red: no rate is sustainable", "  at 25 orders/s: it failed"]
