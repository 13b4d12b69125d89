"""`make run` with an existing virtual environment: its variables, and its reaction to signals."""

import os
import shutil
import signal
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.eventually import wait_until
from tests.support.local_suite import alive, suite

ROOT = Path(__file__).parents[2]

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="reads /proc"),
    pytest.mark.skipif(shutil.which("make") is None, reason="needs make"),
    pytest.mark.skipif(not (ROOT / ".venv/bin/sagactl").exists(), reason="needs the environment of make run"),
]


@contextmanager
def make_run(tmp_path):
    """Start a suite and wait until it is ready. `-o` keeps make from updating the virtual environment."""
    variables = ("BACKEND=embedded", "PORT=0", "REPLICAS=2", f"RUN_DIR={tmp_path / '.run'}")
    make = ("make", "-C", str(ROOT), "-o", ".venv/.run", "run", *variables)
    with suite(tmp_path, argv=make) as local:
        local.until_ready()
        yield local


def test_make_variables_reach_the_suite_and_ctrl_c_ends_every_process(tmp_path):
    with make_run(tmp_path) as local:
        assert "BACKEND=embedded" in local.output
        assert len(local.facts["addresses"]["stock"]) == 2
        processes = local.pids()

        os.killpg(local.process.pid, signal.SIGINT)  # As a terminal does.

        assert local.process.wait(15) == -signal.SIGINT
        assert not any(map(alive, processes))
        assert "Error" not in local.output


def test_sigterm_to_make_ends_every_process(tmp_path):
    with make_run(tmp_path) as local:
        processes = local.pids()

        assert local.end(signal.SIGTERM) == -signal.SIGTERM

        assert not any(map(alive, processes))


def test_killed_make_leaves_no_process(tmp_path):
    with make_run(tmp_path) as local:
        processes = local.pids()

        local.process.kill()

        wait_until(lambda: not any(map(alive, processes)))
