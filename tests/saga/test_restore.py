"""Records put back to an earlier moment: `sagactl audit` names them, and `sagactl reconcile` ends them."""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import replace

from contract.tickets import RESERVED
from sagakit.tables import Delete, Key, Update
from services.delivery.storage import delivery_key
from services.payment.storage import payment_key
from services.purchase.storage import ticket_entity, ticket_key, to_ticket
from tests.support.audit import record_problems
from tests.support.eventually import eventually
from tests.support.suite import Suite, running_suite


async def sagactl(environ: Mapping[str, str], *argv: str) -> tuple[int, str]:
    """Return the exit code and the output of a command, run as a process of its own."""
    command = (sys.executable, "-m", "sagactl", *argv)
    env = {**os.environ, "RUN_DIR": "none", **environ}
    done = await asyncio.to_thread(
        subprocess.run, command, env=env, capture_output=True, text=True, check=False, timeout=60
    )
    assert "Traceback" not in done.stderr
    return done.returncode, done.stdout


async def approved(suite: Suite, cartid: str) -> str:
    """Return the orderid of an approved order."""
    orderid = (await suite.order(cartid, blue=1)).orderid
    await suite.ticket_becomes(orderid, "approved")
    return orderid


async def lose(suite: Suite, key: Key) -> None:
    await suite.backend.tables.commit([Delete(key)])


async def put_back(suite: Suite, orderid: str) -> None:
    """Put the ticket back to the moment at which its items had been reserved."""
    key = ticket_key(orderid)
    row = (await suite.backend.tables.lookup([key]))[key]
    ticket = to_ticket(orderid, row.entity)
    earlier = replace(ticket, status=RESERVED, history=ticket.history[:2])
    entity = ticket_entity(earlier, time.time() + 600)
    await suite.backend.tables.commit([Update(key, entity, row.version)])


async def test_what_was_put_back_ends_or_is_listed(backend_environ: Mapping[str, str]):
    async with running_suite(backend_environ) as suite:
        uncharged, undelivered, reopened, lost = [await approved(suite, f"c{number}") for number in range(4)]
        await suite.balances()
        await lose(suite, payment_key(uncharged))
        await lose(suite, delivery_key(undelivered))
        await put_back(suite, reopened)
        await lose(suite, ticket_key(lost))

        audit_code, audit = await sagactl(backend_environ, "audit")
        planned_code, plan = await sagactl(backend_environ, "reconcile", "--older-than", "0")
        code, done = await sagactl(backend_environ, "reconcile", "--older-than", "0", "--execute")

        expected = {
            f"order {uncharged}: stock reserved",
            f"order {undelivered}: purchase approved",
            f"order {reopened}: payment paid",
            f"order {lost}: decide: its ticket is lost, and it was approved",
        }
        assert audit_code == planned_code == code == 1
        assert all(f"order {orderid}: " in audit for orderid in (uncharged, undelivered, reopened, lost))
        assert {*plan.splitlines()} == {*expected, "3 would be published, 1 to decide"}
        assert {*done.splitlines()} == {*expected, "3 published, 1 to decide"}

        async def only_the_lost_one_remains() -> bool:
            found = await record_problems(suite.backend.tables)
            return all(f"order {lost}:" in each or "was charged for" in each for each in found)

        await eventually(only_the_lost_one_remains, seconds=30)
        again_code, again = await sagactl(backend_environ, "reconcile", "--older-than", "0", "--execute")
        assert again_code == 1
        assert again.splitlines()[-1] == "0 published, 1 to decide"
