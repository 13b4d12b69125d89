"""The suite that a command acts on: that of a flag, else the one that runs here, else the environment's."""

import asyncio
import os
from contextlib import nullcontext
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from contract.topology import TOPOLOGY
from sagactl.__main__ import main
from sagactl.cli.faults import require_allowed
from sagactl.project import PROJECT
from sagakit.backends.embedded.database import Database
from sagakit.ctl.errors import CommandError
from sagakit.ctl.inspect.target import choose
from sagakit.ctl.local.runfile import Suite, write_suite
from sagakit.ctl.main import COMMANDS

DEAD = "127.0.0.1:1"
ELSEWHERE = {
    "BACKEND": "gcp",
    "GOOGLE_CLOUD_PROJECT": "elsewhere",
    "DATASTORE_DATABASE": "other",
    "DATASTORE_EMULATOR_HOST": DEAD,
    "PUBSUB_EMULATOR_HOST": DEAD,
    "STOCK_ADDRESS": DEAD,
}
ON_ONE_SUITE = [
    ("demo",),
    ("load", "--seconds", "0.1"),
    ("ps",),
    ("stop", "stock"),
    ("start", "stock"),
    ("restart", "stock"),
    ("top", "--once", "--sample-seconds", "0"),
    ("order", "o"),
    ("pending",),
    ("audit",),
    ("reconcile",),
    ("backfill", "delivery"),
    ("dlq", "list"),
    ("dlq", "show"),
    ("dlq", "redrive"),
    ("dlq", "drop"),
    ("migrate", "name"),
    ("stock", "set", "blue"),
    ("faults", "list"),
    ("faults", "set"),
    ("faults", "clear"),
    ("provision",),
    ("seed", "--wait", "0"),
]
IN_THE_RUN_DIRECTORY = {"up", "logs", "token", "clean", "new"}


def sagactl(*arguments: str, **environ: str) -> Result:
    return CliRunner().invoke(
        main, arguments, env={**dict.fromkeys(ELSEWHERE), **environ}, prog_name="sagactl"
    )


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    """A run directory in which an embedded suite runs, by its run file."""
    file = tmp_path / "embedded.sqlite3"

    async def create() -> None:
        database = Database(file)
        await database.read(lambda connection: connection.execute("SELECT * FROM entity"))
        await database.close()

    asyncio.run(create())
    environ = {"BACKEND": "embedded", "EMBEDDED_FILE": str(file)}
    addresses = {"stock": [DEAD]}
    write_suite(tmp_path, Suite(os.getpid(), "embedded", f"http://{DEAD}", addresses, environ, "/nowhere"))
    return tmp_path


def test_every_command_that_acts_on_a_suite_is_tested():
    assert {command for command, *_ in ON_ONE_SUITE} | IN_THE_RUN_DIRECTORY == {*COMMANDS, *PROJECT.commands}


@pytest.mark.parametrize("command", ON_ONE_SUITE, ids=" ".join)
def test_suite_that_runs_here_comes_before_the_environment(command, run_dir):
    ended = sagactl(*command, RUN_DIR=str(run_dir), **ELSEWHERE)

    assert ended.stderr.splitlines()[0] == f"suite: local, in {run_dir} (embedded)"
    assert "elsewhere" not in ended.output
    assert ended.exception is None or isinstance(ended.exception, SystemExit)


@pytest.mark.parametrize("command", ON_ONE_SUITE, ids=" ".join)
def test_named_directory_without_a_suite_is_an_error_whatever_the_environment_names(command, tmp_path):
    ended = sagactl(*command, "--run-dir", str(tmp_path), **ELSEWHERE)

    assert (ended.exit_code, ended.stdout) == (1, "")
    assert ended.stderr.startswith(f"Error: no suite runs in {tmp_path}")


@pytest.mark.parametrize(
    ("environ", "name"),
    [
        ({"GOOGLE_CLOUD_PROJECT": "shop"}, "project shop of Google Cloud"),
        (
            {"GOOGLE_CLOUD_PROJECT": "shop", "DATASTORE_DATABASE": "saga"},
            "project shop, database saga of Google Cloud",
        ),
        (
            {"GOOGLE_CLOUD_PROJECT": "p", "DATASTORE_EMULATOR_HOST": "a:1", "PUBSUB_EMULATOR_HOST": "b:2"},
            "project p at the emulators a:1, b:2",
        ),
        ({"BACKEND": "embedded", "EMBEDDED_FILE": "/data"}, "embedded, in /data"),
    ],
)
def test_environment_names_the_suite_if_none_runs_here(environ, name, tmp_path):
    assert str(choose(tmp_path, environ)) == name


def test_given_address_of_stock_comes_before_the_suite_that_runs_here(run_dir):
    ended = sagactl("seed", "--wait", "0", "--stock-address", "127.0.0.1:2", RUN_DIR=str(run_dir))

    assert ended.stderr.startswith("suite: stock at 127.0.0.1:2\nError: stock at 127.0.0.1:2: ")


def test_given_gateway_comes_before_the_suite_that_runs_here(run_dir):
    ended = sagactl("demo", "--gateway", "http://127.0.0.1:2", RUN_DIR=str(run_dir))

    assert ended.stderr.startswith("suite: http://127.0.0.1:2\nError: http://127.0.0.1:2: no response to ")


@pytest.mark.parametrize("command", [["demo"], ["load", "--seconds", "0.1"]])
@pytest.mark.parametrize("port", ["80800", "abc"])
def test_gateway_that_cannot_be_is_an_error(command, port, tmp_path):
    ended = sagactl(*command, "--gateway", f"http://127.0.0.1:{port}", RUN_DIR=str(tmp_path))

    assert ended.exit_code == 1
    assert f"\nError: http://127.0.0.1:{port}: invalid URL: " in ended.stderr


@pytest.mark.parametrize("option", ["limit", "seconds", "every", "settled", "linger", "metrics-port", "host"])
def test_option_of_a_slice_is_rejected_if_all_is_audited(option, run_dir):
    ended = sagactl("audit", f"--{option}", "1", RUN_DIR=str(run_dir))

    assert ended.exit_code == 2
    assert f"Error: --{option} needs --slices" in ended.stderr


@pytest.mark.parametrize("host", ["203.0.113.1", "x" * 64])
def test_audit_whose_metrics_cannot_be_served_is_an_error(host, run_dir):
    slice_ = ("audit", "--slices", "1", "--metrics-port", "9999", "--host", host)

    ended = sagactl(*slice_, RUN_DIR=str(run_dir))

    assert ended.exit_code == 1
    assert "\nError: METRICS_PORT cannot be used: " in ended.stderr


def test_backfill_after_a_cursor_of_another_topic_is_an_error(run_dir):
    ended = sagactl("backfill", "delivery", "--after", "com.example.dairy/o-1", RUN_DIR=str(run_dir))

    assert ended.exit_code == 1
    topic = TOPOLOGY.topics["purchase"]
    assert f"Error: --after com.example.dairy/o-1: no cursor of these topics: {topic}\n" in ended.stderr


@pytest.mark.parametrize(
    ("environ", "is_rejected"),
    [
        ({"GOOGLE_CLOUD_PROJECT": "shop"}, True),
        ({"GOOGLE_CLOUD_PROJECT": "shop", "FAULTS_ALLOWED": "true"}, False),
        ({"BACKEND": "embedded", "EMBEDDED_FILE": "/data", "ENVIRONMENT": "production"}, True),
        ({"BACKEND": "embedded", "EMBEDDED_FILE": "/data"}, False),
    ],
)
def test_faults_are_rejected_in_production_unless_they_are_allowed(environ, is_rejected, tmp_path):
    with pytest.raises(CommandError, match="faults are rejected") if is_rejected else nullcontext():
        require_allowed(tmp_path, environ)
