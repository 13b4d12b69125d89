"""`sagactl audit --slices`, as the CronJob runs it: its exit code, its output, and its metrics."""

import asyncio
import os
import sys
from collections.abc import Mapping

import httpx

from sagakit.ctl.local.ports import free_ports
from sagakit.tables import Delete
from services.delivery.storage import delivery_key
from tests.saga.test_restore import approved, sagactl
from tests.support.declared_metrics import DECLARED
from tests.support.eventually import eventually
from tests.support.metrics import scraped, series_of
from tests.support.suite import running_suite

SLICE = ("audit", "--slices", "1", "--settled", "0")


async def test_slice_is_audited_and_its_result_can_be_scraped(backend_environ: Mapping[str, str]):
    (port,) = free_ports(1)
    async with running_suite(backend_environ) as suite:
        orderid = await approved(suite, "c")
        await suite.balances()
        balanced = await sagactl(backend_environ, *SLICE)
        await suite.backend.tables.commit([Delete(delivery_key(orderid))])
        unbalanced = await sagactl(backend_environ, *SLICE)

        env = {**os.environ, "RUN_DIR": "none", **backend_environ, "METRICS_PORT": str(port)}
        command = (sys.executable, "-m", "sagactl", *SLICE, "--linger", "60")
        pipes = {"stdout": asyncio.subprocess.DEVNULL, "stderr": asyncio.subprocess.DEVNULL}
        running = await asyncio.create_subprocess_exec(*command, env=env, **pipes)
        try:
            await eventually(lambda: shown(port) == {"problems": 1, "entities": 4, "complete": 1})
        finally:
            running.kill()
            await running.wait()

    assert balanced == (0, "1 orders compared, 5 entities read\nthe slice balances\n")
    lost = f"order {orderid}: it is approved, but not delivered\n"
    assert unbalanced == (1, f"1 orders compared, 4 entities read\n{lost}")


def shown(port: int) -> dict[str, float] | None:
    """Return the result of a run; None before it has one."""
    try:
        samples = scraped([f"127.0.0.1:{port}"])
    except httpx.TransportError:
        return None
    declared = {series for each in DECLARED["audit"] for series in series_of(each)}
    if not declared <= samples.series():
        return None
    return {name: samples.value(f"saga_audit_{name}") for name in ("problems", "entities", "complete")}
