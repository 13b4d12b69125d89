"""The run directory of a local suite."""

import json
import os

import pytest
from click.testing import CliRunner

from sagactl.project import PROJECT
from sagakit.backends.embedded.bus import wake_folder
from sagakit.ctl.cli.clean import clean
from sagakit.ctl.errors import CommandError
from sagakit.ctl.local import dev_tokens
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


def run_clean(run_dir):
    return CliRunner().invoke(clean, ["--run-dir", str(run_dir)])


def test_clean_removes_all_that_a_suite_writes(tmp_path):
    run_dir = tmp_path / "run"
    with locked(run_dir):
        write_suite(run_dir, suite(os.getpid()))
        reset(run_dir, run_dir / "logs")
        write_suite(run_dir, suite(os.getpid()))
        dev_tokens.environ(run_dir, PROJECT.application)
        for suffix in ("", "-wal", "-shm"):
            (run_dir / f"embedded.sqlite3{suffix}").touch()
        wake_folder(run_dir / "embedded.sqlite3").mkdir()

    assert run_clean(run_dir).exit_code == 0
    assert not run_dir.exists()
    assert run_clean(run_dir).exit_code == 0, "there is nothing left to remove"


def test_clean_leaves_a_directory_with_other_files_as_it_is(tmp_path):
    precious = tmp_path / "precious"
    (precious / "logs").mkdir(parents=True)
    (precious / "thesis.txt").touch()
    precious.chmod(0o755)

    refused = run_clean(precious)

    assert refused.exit_code == 1
    assert f"{precious} is not removed: thesis.txt in it does not belong to a suite" in refused.stderr
    assert sorted(path.name for path in precious.iterdir()) == ["logs", "thesis.txt"]
    assert precious.stat().st_mode & 0o777 == 0o755


def test_clean_reports_what_it_cannot_remove(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "link").symlink_to("run")

    refused = run_clean(tmp_path / "link")

    assert refused.exit_code == 1
    assert refused.stderr.startswith("Error: cannot remove ")
