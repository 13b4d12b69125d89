"""The walk of the README, with real processes: `sagactl up` as `make run` calls it, and HTTP from outside."""

import asyncio
import os
import re
import signal
import sys
import time
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from sagaclient import Conflict, Order, SagaClient
from tests.support.eventually import eventually

ROOT = Path(__file__).parents[2]
ORDERID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclass(frozen=True)
class Up:
    """Clients of a suite that runs: of the resources, and of the older routes."""

    saga: SagaClient
    older: httpx.AsyncClient


@asynccontextmanager
async def up(run_dir: Path, environ: Mapping[str, str]) -> AsyncIterator[Up]:
    """A suite of its own; ended as Ctrl-C ends it."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "sagactl", "up", "--port", "0", "--run-dir", str(run_dir), "--with-parent"),
        cwd=ROOT,
        env={**os.environ, **environ},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    assert process.stdout is not None
    printed = b""
    try:
        async with asyncio.timeout(60):
            while not printed.startswith(b"ready: "):
                printed = await process.stdout.readline()
                assert printed, "it ended before it was ready"
        url = printed.decode().split()[1]
        async with SagaClient(url) as saga, httpx.AsyncClient(base_url=url, timeout=20) as older:
            yield Up(saga, older)
    finally:
        reading = asyncio.create_task(process.stdout.read())
        process.send_signal(signal.SIGINT)
        async with asyncio.timeout(15):
            assert await process.wait() == 0
        await reading


@pytest.fixture
def up_environ(backend_environ: Mapping[str, str]) -> Mapping[str, str]:
    """The same backends, as somebody who runs the suite names them."""
    name = "embedded" if backend_environ["BACKEND"] == "embedded" else "emulators"
    return {**backend_environ, "BACKEND": name}


async def post(client: httpx.AsyncClient, path: str, **body: object) -> dict:
    answer = await client.post(path, json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def order(saga: SagaClient, **items: int) -> str:
    cartid = str(uuid.uuid4())
    await saga.create_cart(cartid)
    for itemid, count in items.items():
        await saga.set_item(cartid, itemid, count)
    await saga.close_cart(cartid)
    return (await saga.checkout(cartid)).orderid


async def ends(saga: SagaClient, orderid: str, status: str, seconds: float = 20) -> Order:
    """The order, which ends so."""
    ended = await saga.wait_for_order(orderid, seconds)
    assert ended.status == status
    return ended


async def test_the_walk_goes_as_the_readme_says(tmp_path: Path, up_environ: Mapping[str, str]):
    items = [{"itemid": "blue", "count": 3}, {"itemid": "red", "count": 2}]
    cart = {"cartid": "1234567"}

    async with up(tmp_path / "run", up_environ) as suite:
        older = suite.older
        assert (await older.get("/")).text == "api-gateway"
        created = await post(older, "/purchase/api/create_cart", **cart)
        blue = await post(older, "/purchase/api/add_item", **cart, itemid="blue", count=3)
        both = await post(older, "/purchase/api/add_item", **cart, itemid="red", count=2)
        closed = await post(older, "/purchase/api/close_cart", **cart)
        ticket = (await post(older, "/purchase/api/checkout", **cart))["order_ticket"]
        await ends(suite.saga, ticket["orderid"], "approved")
        approved = await post(older, "/purchase/api/get_order_ticket", orderid=ticket["orderid"])

        assert created == {"cart": {**cart, "status": "open"}}
        assert blue == {"cart_items": items[:1]}
        assert both == {"cart_items": items}
        assert closed == {"cart": {**cart, "status": "closed"}}
        assert ORDERID.fullmatch(ticket["orderid"])
        assert ticket == {"orderid": ticket["orderid"], "status": "pre-approved", "cart_items": items}
        assert approved == {"order_ticket": {**ticket, "status": "approved"}}


async def test_every_way_an_order_can_end_and_what_became_of_it(
    tmp_path: Path, up_environ: Mapping[str, str]
):
    async with up(tmp_path / "run", up_environ) as suite:
        saga, older = suite.saga, suite.older
        yellow = await ends(saga, await order(saga, blue=1, yellow=1), "reserve-failed")
        assert yellow.reason == "sold-out: yellow"
        assert (await ends(saga, await order(saga, gold=1), "payment-failed")).reason
        blue = await order(saga, blue=3)
        followed = [event async for event in saga.order_events(blue)]
        assert (await saga.get_order(blue)).amount == 300
        with pytest.raises(Conflict, match="order-ended"):
            await saga.cancel_order(blue)
        await eventually(lambda: balances(tmp_path / "run"), seconds=30, pause=0.2)
        payment = (await post(older, "/payment/api/get_payment", orderid=blue))["payment"]
        assert (payment["status"], payment["amount"]) == ("settled", 300)
        delivery = (await post(older, "/delivery/api/get_delivery", orderid=blue))["delivery"]
        assert delivery["items"] == [{"itemid": "blue", "count": 3}]
        causes = [move.cause for move in await saga.order_history(blue) if move.cause != "reserved"]
        assert causes == ["checkout", "paid", "delivery-arranged"]
        assert (followed[-1].service, followed[-1].status) == (None, "approved")
        assert {(event.service, event.status) for event in followed[:-1]} == {
            ("purchase", "pre-approved"),
            ("stock", "reserved"),
            ("payment", "paid"),
            ("purchase", "approved"),
            ("stock", "sold"),
            ("payment", "settled"),
            ("delivery", "delivery-arranged"),
        }


async def balances(run_dir: Path) -> bool:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "sagactl", "audit", "--run-dir", str(run_dir)),
        cwd=ROOT,
        stdout=asyncio.subprocess.DEVNULL,
    )
    return await process.wait() == 0


async def test_embedded_orders_survive_the_end_of_the_suite(tmp_path: Path):
    environ = {"BACKEND": "embedded"}

    async with up(tmp_path / "run", environ) as suite:
        orderid = await order(suite.saga, red=1)
    async with up(tmp_path / "run", environ) as suite:
        await ends(suite.saga, orderid, "approved")


async def test_the_suite_is_ready_within_three_seconds_on_the_embedded_backend(tmp_path: Path):
    started = time.perf_counter()

    async with up(tmp_path / "run", {"BACKEND": "embedded"}):
        seconds = time.perf_counter() - started

    # Twice the promise: what else runs on the machine may slow it down.
    assert seconds < 6


@pytest.mark.emulators
async def test_the_suite_brings_its_own_emulators_and_is_ready_within_twenty_seconds(
    tmp_path: Path, firestore_emulator: str
):
    started = time.perf_counter()

    async with up(tmp_path / "run", {"BACKEND": "emulators"}) as suite:
        seconds = time.perf_counter() - started
        await ends(suite.saga, await order(suite.saga, red=1), "approved")

    assert seconds < 20


async def test_two_processes_of_each_service_share_the_work(tmp_path: Path, up_environ: Mapping[str, str]):
    run_dir = tmp_path / "run"

    async with up(run_dir, {**up_environ, "REPLICAS": "2"}) as suite:
        saga = suite.saga
        orderids = await asyncio.gather(*(order(saga, blue=2, red=1) for _ in range(30)))
        await asyncio.gather(*(ends(saga, orderid, "approved") for orderid in orderids))
        await eventually(lambda: balances(run_dir), seconds=30, pause=0.2)
        sold = {item.itemid: item.sold async for item in saga.items()}

    assert (sold["blue"], sold["red"]) == (60, 30)
    logs = [(run_dir / "logs" / f"stock-{number}.log").read_text() for number in (1, 2)]
    applied = [log.count("event applied") for log in logs]
    assert min(applied) > 0, "one of them did all the work"
    assert sum(applied) == 60


async def test_a_service_that_is_killed_loses_nothing(tmp_path: Path):
    run_dir = tmp_path / "run"

    async with up(run_dir, {"BACKEND": "embedded"}) as suite:
        saga = suite.saga
        orderids = []
        for number in range(12):
            orderids.append(await order(saga, red=1))
            if number % 4 == 0:
                await asyncio.to_thread(kill_service, "services.stock", run_dir)
        # What a process that was killed had in hand comes again after a lease of 30 seconds.
        await asyncio.gather(*(ends(saga, orderid, "approved", 60) for orderid in orderids))
        await eventually(lambda: balances(run_dir), seconds=60, pause=0.2)
        # The gateway may still be about to find the service that was started again: the client asks again.
        red = await saga.get_item("red")

    assert red.sold == 12


def kill_service(module: str, run_dir: Path) -> None:
    """SIGKILL for the process of that module that belongs to the suite in `run_dir`."""
    for proc in Path("/proc").glob("[0-9]*"):
        try:
            argv = (proc / "cmdline").read_bytes().split(b"\0")
            environ = (proc / "environ").read_bytes()
        except OSError:
            continue
        if module.encode() in argv and str(run_dir).encode() in environ:
            os.kill(int(proc.name), signal.SIGKILL)
