"""`make run`, once the virtual environment is there: what make's part in it is."""

import os
import shutil
import signal
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.local_suite import alive, suite, until

ROOT = Path(__file__).parents[2]

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc"),
    pytest.mark.skipif(shutil.which("make") is None, reason="needs make"),
    pytest.mark.skipif(not (ROOT / ".venv/bin/sagactl").exists(), reason="needs the environment of make run"),
]


@contextmanager
def make_run(tmp_path):
    """A suite that is ready; -o: what the environment is made of is no part of the test."""
    variables = ("BACKEND=embedded", "PORT=0", "REPLICAS=2", f"RUN_DIR={tmp_path / '.run'}")
    make = ("make", "-C", str(ROOT), "-o", ".venv/.run", "run", *variables)
    with suite(tmp_path, argv=make) as local:
        local.until_ready()
        yield local


def test_variables_of_make_reach_the_suite(tmp_path):
    with make_run(tmp_path) as local:
        assert "BACKEND=embedded" in local.output
        assert len(local.facts["addresses"]["stock"]) == 2


def test_ctrl_c_ends_everything_without_a_complaint(tmp_path):
    with make_run(tmp_path) as local:
        processes = local.pids()

        os.killpg(local.process.pid, signal.SIGINT)  # What a terminal does.

        assert local.process.wait(15) == -signal.SIGINT
        assert not any(map(alive, processes))
        assert "Error" not in local.output


def test_a_sigterm_for_make_ends_everything(tmp_path):
    with make_run(tmp_path) as local:
        processes = local.pids()

        assert local.end(signal.SIGTERM) == -signal.SIGTERM

        assert not any(map(alive, processes))


def test_nothing_outlives_a_make_that_is_killed(tmp_path):
    with make_run(tmp_path) as local:
        processes = local.pids()

        local.process.kill()

        until(lambda: not any(map(alive, processes)))
