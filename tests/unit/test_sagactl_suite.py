"""A suite's control requests, with a small real process in place of the services."""

import asyncio
import os
import sys
from types import SimpleNamespace

import pytest

from sagactl.project import PROJECT
from sagakit.ctl.local.child import Program
from sagakit.ctl.local.suite import LocalSuite
from sagakit.errors import NotFound, Unavailable


async def test_restart_of_a_program_that_ends_before_it_listens_fails_with_its_exit_status(tmp_path):
    suite = LocalSuite(PROJECT, None, SimpleNamespace(print=lambda _: None), None)
    log = tmp_path / "stub.log"
    environ = {**os.environ, "HOST": "127.0.0.1", "PORT": "1"}
    suite._services.add(
        Program("stub", (sys.executable, "-c", "raise SystemExit(3)"), environ, log), lambda _: None
    )

    with pytest.raises(Unavailable) as raised:
        await suite.control("restart", "stub")

    assert str(raised.value).endswith(f"stub does not start (exit status 3); log: {log}")
    await suite._services.stop(asyncio.Event())


async def test_stop_during_a_restart_wins(tmp_path):
    suite = LocalSuite(PROJECT, None, SimpleNamespace(print=lambda _: None), None)
    idle = (sys.executable, "-c", "import time; time.sleep(600)")
    suite._services.add(Program("stub", idle, {}, tmp_path / "stub.log"), lambda _: None)
    await asyncio.sleep(0)  # The supervisor's task forks.

    _, (stopped,) = await asyncio.gather(suite.control("restart", "stub"), suite.control("stop", "stub"))

    assert stopped["state"] == "stopped"
    assert (await suite.control("ps", "stub"))[0]["state"] == "stopped"
    await suite._services.stop(asyncio.Event())


async def test_unknown_action_changes_nothing():
    suite = LocalSuite(PROJECT, None, SimpleNamespace(print=lambda _: None), None)

    with pytest.raises(NotFound, match="no action is named pause; actions: ps, stop, start, restart"):
        await suite.control("pause", "")


IDLE = (sys.executable, "-c", "import time; time.sleep(600)")


@pytest.fixture
async def suite():
    suite = LocalSuite(PROJECT, None, SimpleNamespace(print=lambda _: None), None)
    yield suite
    await suite._services.stop(asyncio.Event())


@pytest.mark.parametrize("action", ["stop", "start", "restart"])
@pytest.mark.parametrize("name", ["", "loyalty", "loyalty-points-"])
async def test_process_that_is_not_named_is_left_as_it_is(suite, tmp_path, action, name):
    suite._services.add(Program("loyalty-points", IDLE, {}, tmp_path / "log"), lambda _: None)

    with pytest.raises(NotFound, match=r"processes: loyalty-points$"):
        await suite.control(action, name)

    assert [each["name"] for each in await suite.control("ps", "")] == ["loyalty-points"]


async def test_service_names_all_its_replicas(suite, tmp_path):
    for name in ("stock-1", "stock-10", "stock-history"):
        suite._services.add(Program(name, IDLE, {}, tmp_path / name), lambda _: None)

    assert [each["name"] for each in await suite.control("ps", "stock")] == ["stock-1", "stock-10"]
    assert [each["name"] for each in await suite.control("ps", "stock-1")] == ["stock-1"]
