"""`sagactl migrate`: output, exit codes, interruption."""

import asyncio
import re
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from sagactl.__main__ import main
from sagakit import Entity, Key, Migration
from sagakit.backends.embedded.database import Database
from sagakit.backends.embedded.tables import EmbeddedTables
from sagakit.ctl.cli.migrate import migrate
from sagakit.ctl.project import Project
from sagakit.tables import Insert
from sagakit.topology import Topology
from tests.support.eventually import wait_until

ROOT = Path(__file__).parents[2]


def to_grams(key: Key, entity: Entity) -> Mapping[Key, Entity]:
    if "grams" in entity:
        return {}
    rest = {name: value for name, value in entity.items() if name != "weight"}
    return {key: {**rest, "grams": entity["weight"]}}


MIGRATIONS = {"parcel-grams": Migration("Parcel", to_grams)}
PROJECT = Project(topology=Topology(()), migrations=MIGRATIONS)


def parcels(directory: Path, entities: Mapping[str, Entity]) -> Path:
    file = directory / "data.sqlite3"

    async def write() -> None:
        database = Database(file)
        tables = EmbeddedTables(database)
        await tables.commit([Insert(Key("Parcel", name), entity) for name, entity in entities.items()])
        await database.close()

    asyncio.run(write())
    return file


def stored(file: Path) -> list[str]:
    with closing(sqlite3.connect(file)) as connection:
        return [body for (body,) in connection.execute("SELECT body FROM entity ORDER BY name")]


def environ_of(file: Path) -> dict[str, str]:
    return {"BACKEND": "embedded", "EMBEDDED_FILE": str(file), "RUN_DIR": str(file.parent)}


def run(file: Path, *args: str) -> Result:
    return CliRunner().invoke(migrate, args, obj=PROJECT, env=environ_of(file), prog_name="sagactl migrate")


OLD = [f'{{"weight": {n}}}' for n in range(5)]
NEW = [f'{{"grams": {n}}}' for n in range(5)]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return parcels(tmp_path, {f"p{n}": {"weight": n} for n in range(5)})


def test_migrations_are_listed_without_a_suite():
    listed = CliRunner().invoke(migrate, [], obj=PROJECT, env={"BACKEND": None, "GOOGLE_CLOUD_PROJECT": None})
    none = CliRunner().invoke(main, ["migrate"], env={"BACKEND": None, "GOOGLE_CLOUD_PROJECT": None})

    assert (listed.exit_code, listed.output) == (0, "parcel-grams: Parcel\n")
    assert (none.exit_code, none.output) == (0, "no migrations\n")


def test_unknown_migration_is_an_error(file: Path):
    ended = run(file, "parcel-gram")

    assert ended.exit_code == 1
    assert ended.stderr.endswith("Error: no migration 'parcel-gram': sagactl migrate lists them\n")


def test_dry_run_shows_examples_and_changes_nothing(file: Path):
    ended = run(file, "parcel-grams", "--dry-run")

    assert ended.exit_code == 0
    assert ended.stdout.splitlines() == [
        *(f"Parcel p{n}: -weight={n} +grams={n}" for n in range(3)),
        "5 of 5 entities would be converted, 0 cannot be",
    ]
    assert stored(file) == OLD


def test_migration_converts_what_is_left(file: Path):
    first = run(file, "parcel-grams", "--after", "p2")
    assert stored(file) == [*OLD[:3], *NEW[3:]]
    second = run(file, "parcel-grams")

    assert (first.exit_code, first.stdout) == (0, "2 of 2 entities converted, 0 cannot be\n")
    assert (second.exit_code, second.stdout) == (0, "3 of 5 entities converted, 0 cannot be\n")
    assert stored(file) == NEW


def test_corrupt_entities_are_reported_and_skipped(file: Path):
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("UPDATE entity SET body = '{\"gra' WHERE name = 'p1'")
        connection.execute("UPDATE entity SET body = '{}' WHERE name = 'p3'")

    ended = run(file, "parcel-grams")

    lines = ended.stdout.splitlines()
    assert ended.exit_code == 1
    assert lines[0].startswith("Parcel p1: not converted: Poison: damaged JSON: ")
    assert lines[1:] == [
        "Parcel p3: not converted: KeyError: 'weight'",
        "3 of 5 entities converted, 2 cannot be",
    ]
    assert stored(file) == [NEW[0], '{"gra', NEW[2], "{}", NEW[4]]


def test_unavailable_backend_is_an_error(tmp_path: Path):
    emulators = dict.fromkeys(("DATASTORE_EMULATOR_HOST", "PUBSUB_EMULATOR_HOST"), "127.0.0.1:1")
    environ = {"RUN_DIR": str(tmp_path), "BACKEND": "gcp", "GOOGLE_CLOUD_PROJECT": "p", **emulators}

    ended = CliRunner().invoke(migrate, ["parcel-grams", "--after", "it's"], obj=PROJECT, env=environ)

    assert (ended.exit_code, ended.stdout) == (1, "")
    _, progress, error = ended.stderr.splitlines()
    assert progress == """0 read, 0 converted; continue with --after 'it'"'"'s'"""
    assert error.startswith("Error: the backend does not respond: ")


def test_rate_must_be_positive(file: Path):
    assert run(file, "parcel-grams", "--rate", "0").exit_code == 2


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGKILL])
def test_interrupted_migration_is_continued(file: Path, ending: signal.Signals):
    # Python ignores the signal if the process that started it did.
    code = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from tests.unit.test_sagactl_migrate import PROJECT, migrate; migrate(obj=PROJECT)"
    )
    slow = [sys.executable, "-c", code, "parcel-grams", "--rate", "0.02"]
    with subprocess.Popen(
        slow, env=environ_of(file), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        wait_until(lambda: stored(file)[0] == NEW[0])
        process.send_signal(ending)
        _, errors = process.communicate(timeout=60)

    assert stored(file) == [NEW[0], *OLD[1:]]
    last = re.search(r"converted; continue with --after (\S+)\n", errors)
    assert (process.returncode, last is not None) == ((1, True) if ending == signal.SIGINT else (-9, False))
    assert run(file, "parcel-grams", *(["--after", last[1].strip("'")] if last else [])).exit_code == 0
    assert stored(file) == NEW
