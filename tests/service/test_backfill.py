"""A service that is added later handles the orders of the past once, and the others ignore the repeats."""

import asyncio
from pathlib import Path

import pytest

from sagakit.ctl.cli.provision import ensure_provisioned
from sagakit.tables import Key
from tests.support.brokers import process_of
from tests.support.eventually import eventually
from tests.support.loyalty import GRANT, TOPOLOGY, TOTAL
from tests.support.suite import Suite

KINDS = ("OrderTicket", "Reservation", "Payment", "Delivery", "SimulatedCharge")


async def records(suite: Suite) -> dict[Key, object]:
    """All records of orders, as they are."""
    pages = [await suite.backend.tables.page(kind, "", 100) for kind in KINDS]
    return {key: row.entity for page in pages for key, row in page}


async def sagactl(environ: dict[str, str], *arguments: str) -> tuple[int, list[str]]:
    """Run a command of the project with the fifth service; return its exit status and what it prints."""
    async with process_of(
        *("sagakit.ctl", *arguments), environ=environ, stdout=asyncio.subprocess.PIPE
    ) as process:
        out, _ = await asyncio.wait_for(process.communicate(), 60)
    return process.returncode or 0, out.decode().splitlines()


@pytest.mark.timeout(120)
async def test_service_added_later_handles_the_orders_of_the_past_once(suite: Suite, tmp_path: Path):
    orders = [(await suite.order(f"c{number}", blue=1)).orderid for number in range(3)]
    sold_out = (await suite.order("too-many", yellow=99_999)).orderid
    for orderid in orders:
        await suite.ticket_becomes(orderid, "approved")
    await suite.ticket_becomes(sold_out, "reserve-failed")
    await suite.balances()
    before = await records(suite)
    environ = {"BACKEND": "embedded", "EMBEDDED_FILE": str(tmp_path / "data.sqlite3")}
    project = {**environ, "SAGA_PROJECT": "tests.support.loyalty:PROJECT"}
    strict = {**environ, "SAGA_PROJECT": "tests.support.loyalty:STRICT"}
    tables = suite.backend.tables

    await ensure_provisioned(TOPOLOGY, environ)
    async with process_of(
        "tests.support.loyalty",
        "test-loyalty",
        environ={**environ, **TOPOLOGY.environ("test-loyalty"), "PORT": "0"},
    ):
        code, lines = await sagactl(strict, "audit")
        assert (code, lines[-3:]) == (1, [f"order {each}: it has no grant" for each in sorted(orders)])
        assert (await sagactl(project, "audit"))[0] == 0, "orders are older than the service"
        planned = await sagactl(project, "backfill", "test-loyalty")
        assert planned == (0, ["com.example.purchase: 4 events would be published"])
        assert (await tables.page(GRANT, "", 10)) == []

        done = await sagactl(project, "backfill", "test-loyalty", "--execute", "--rate", "100")
        assert done == (0, ["com.example.purchase: 4 events published"])
        await eventually(lambda: granted(suite, 3), 20)
        again = await sagactl(project, "backfill", "test-loyalty", "--execute", "--rate", "100")
        later = (await suite.order("later", blue=1)).orderid
        await eventually(lambda: granted(suite, 4), 20)

        assert again[0] == 0
        assert (await tables.lookup([TOTAL]))[TOTAL].entity == {"n": 4}
        await suite.balances()
        after = await records(suite)
        assert {key: entity for key, entity in after.items() if key.name != later} == before
        assert (await sagactl(strict, "audit"))[0] == 0


async def granted(suite: Suite, count: int) -> bool:
    return len(await suite.backend.tables.page(GRANT, "", 10)) == count
