"""The run directory of a local suite."""

import json
import os

import pytest

from sagakit.ctl.errors import CommandError
from sagakit.ctl.local.runfile import Suite, locked, read_suite, remove_suite, reset, write_suite


def suite(pid):
    stock = {"stock": ["127.0.0.1:1"]}
    return Suite(pid, "embedded", "http://127.0.0.1:8080", stock, {"BACKEND": "embedded"}, "/nowhere")


def test_directory_belongs_to_one_suite_at_a_time(tmp_path):
    run_dir = tmp_path / "new"
    rejected = pytest.raises(CommandError, match=rf"runs in .* already \(process {os.getpid()}\)")

    with locked(run_dir), rejected, locked(run_dir):
        pass
    with locked(run_dir):
        pass


def test_directory_that_cannot_be_created_is_an_error(tmp_path):
    (tmp_path / "file").touch()

    with pytest.raises(CommandError, match="cannot write to"), locked(tmp_path / "file"):
        pass


def test_reset_keeps_only_the_data_of_an_earlier_suite(tmp_path):
    write_suite(tmp_path, suite(os.getpid()))
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs/purchase-2.log").touch()
    (tmp_path / "embedded.sqlite3").touch()

    reset(tmp_path, tmp_path / "logs")

    left = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")}
    assert left == {"logs", "embedded.sqlite3"}


def test_unwritable_log_directory_is_an_error(tmp_path):
    (tmp_path / "logs").touch()

    with pytest.raises(CommandError, match=r"cannot write to .*logs: Not a directory"):
        reset(tmp_path, tmp_path / "logs")


def test_suite_is_found_until_it_is_removed(tmp_path):
    assert read_suite(tmp_path) is None

    write_suite(tmp_path, suite(os.getpid()))
    assert read_suite(tmp_path) == suite(os.getpid())

    remove_suite(tmp_path)
    remove_suite(tmp_path)
    assert read_suite(tmp_path) is None


def test_suite_whose_process_has_ended_is_not_found(tmp_path):
    pid = os.posix_spawn("/bin/true", ["true"], {})
    os.waitpid(pid, 0)

    write_suite(tmp_path, suite(pid))

    assert read_suite(tmp_path) is None


@pytest.mark.parametrize("content", ["", "{", "[]", '{"pid": 1}'])
def test_damaged_file_is_no_suite(tmp_path, content):
    (tmp_path / "suite.json").write_text(content)

    assert read_suite(tmp_path) is None


def test_suite_of_another_version_is_found(tmp_path):
    """Known mistake: a suite that a newer `sagactl` started does not exist for an older one."""
    write_suite(tmp_path, suite(os.getpid()))
    file = tmp_path / "suite.json"
    stored = json.loads(file.read_text())
    del stored["metrics"]

    file.write_text(json.dumps({**stored, "started_by": "a newer version"}))

    assert read_suite(tmp_path) == suite(os.getpid())


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"pid": "1"}'])
def test_unreadable_file_names_no_suite(tmp_path, content):
    (tmp_path / "suite.json").write_text(content)

    assert read_suite(tmp_path) is None
