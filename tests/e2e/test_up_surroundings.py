"""`sagactl up` in surroundings that other tests do not have: umask, closed streams, few descriptors."""

import resource
import stat
import sys
from pathlib import Path

import pytest

from tests.support.eventually import wait_until
from tests.support.local_suite import SAGACTL, sagactl, suite

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

SAGACTL_COMMAND = " ".join(SAGACTL)
UP = f"exec {SAGACTL_COMMAND} up --port 0 --backend embedded"


@pytest.mark.parametrize("umask", ["000", "022"])
def test_other_users_cannot_read_the_files_of_a_suite(tmp_path, umask):
    script = f"umask {umask}; {SAGACTL_COMMAND} token me; {UP} --auth"
    with suite(tmp_path, argv=("sh", "-c", script)) as local:
        local.until_ready()

        control = Path(local.facts["control"])
        files = [local.run_dir, *local.run_dir.rglob("*"), control.parent, control]
        modes = {path: stat.filemode(path.stat().st_mode) for path in files}

    assert {path: mode for path, mode in modes.items() if not mode.endswith("------")} == {}
    assert {path.name for path in modes} >= {
        "development-key.pem",
        "development-jwks.json",
        "embedded.sqlite3",
        "embedded.sqlite3-wal",
        "embedded.sqlite3-shm",
        "gateway.log",
        "suite.json",
    }


def test_directory_that_others_can_write_to_is_rejected(tmp_path):
    run_dir = tmp_path / ".run"
    run_dir.mkdir()
    run_dir.chmod(0o777)

    failed = [
        sagactl(command, *arguments, "--run-dir", str(run_dir))
        for command, *arguments in (("up", "--backend", "embedded", "--port", "0"), ("token", "me"))
    ]

    message = f"Error: other users can write to {run_dir}: remove it, or name another directory\n"
    assert [(each.returncode, each.stderr) for each in failed] == [(1, message)] * 2


@pytest.mark.parametrize("closed", [">&-", "<&- >&- 2>&-"])
def test_suite_starts_and_ends_with_closed_standard_streams(tmp_path, closed):
    with suite(tmp_path, argv=("sh", "-c", f"{UP} {closed}")) as local:
        wait_until((local.run_dir / "suite.json").exists)

        assert local.sagactl("ps").returncode == 0
        assert local.end() == 0


def test_every_process_raises_its_limit_of_descriptors(tmp_path):
    with suite(tmp_path, argv=("sh", "-c", f"ulimit -Sn 256; ulimit -Hn 2048; {UP}")) as local:
        local.until_ready()

        limits = {resource.prlimit(pid, resource.RLIMIT_NOFILE) for pid in local.pids()}

    assert limits == {(2_048, 2_048)}
