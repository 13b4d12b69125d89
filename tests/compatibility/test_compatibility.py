"""Every supported release and this version read what the other has written."""

import asyncio
import os
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest

from sagakit.backends import open_backend
from sagakit.runtime import Runtime
from sagakit.settings import BackendSettings
from sagakit.tables import MAX_MUTATIONS
from tests.chaos.versions import RELEASES, version
from tests.compatibility.reader import unreadable
from tests.compatibility.record import BACKENDS, recorded
from tests.compatibility.recording import QUICK, add_fields, read_commits, stored_after
from tests.compatibility.shapes import Shapes, breaks, shapes_of
from tests.support import intolerance
from tests.support.newer_release import lost_properties
from tests.support.suite import running_suite

SUPPORTED = sorted(path.name for path in RELEASES.iterdir() if (path / "embedded").is_dir())
MOMENTS = 5
"""Times in a run of a release at which its processes are replaced by this version's."""
READ_SINCE = tomllib.loads((RELEASES / "read_since.toml").read_text())

releases = pytest.mark.parametrize("release", SUPPORTED)
backends = pytest.mark.parametrize("backend", BACKENDS)


@pytest.fixture(scope="module")
def current(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recording of this version."""
    directory = tmp_path_factory.mktemp("current")
    asyncio.run(recorded("embedded", directory)).write(directory / "embedded")
    return directory / "embedded"


@releases
@backends
def test_everything_that_a_release_wrote_is_read(release: str, backend: str):
    assert list(unreadable(RELEASES / release / backend)) == []


@releases
@backends
@pytest.mark.parametrize("moment", range(1, MOMENTS + 1))
async def test_orders_of_a_release_come_to_their_end(release: str, backend: str, moment: int, tmp_path: Path):
    await bring_to_end(RELEASES / release / backend, moment, tmp_path)


@releases
@backends
def test_everything_is_read_with_fields_added_to_it(release: str, backend: str, tmp_path: Path):
    add_fields(RELEASES / release / backend, tmp_path)

    assert list(unreadable(tmp_path)) == []


@releases
@pytest.mark.parametrize("moment", [2, 4])
async def test_orders_of_a_release_come_to_their_end_and_keep_fields_added_to_them(
    release: str, moment: int, tmp_path: Path
):
    add_fields(RELEASES / release / "embedded", tmp_path)

    assert await bring_to_end(tmp_path, moment, tmp_path) == []


@releases
@pytest.mark.parametrize("bug", intolerance.BUGS)
def test_planted_bug_is_caught(release: str, bug: str, tmp_path: Path):
    add_fields(RELEASES / release / "embedded", tmp_path)

    with intolerance.BUGS[bug]():
        assert list(unreadable(tmp_path)) or asyncio.run(bring_to_end(tmp_path, 2, tmp_path))


async def bring_to_end(recording: Path, moment: int, directory: Path) -> list[str]:
    """Start this version on what was stored at a moment of the recording, until every order has ended.

    All messages are lost meanwhile; the clock is that of the recording, so that no deadline has passed.
    Returns the entities that lost fields that `add_fields` had added to them.
    """
    commits = read_commits(recording)
    stored = stored_after(commits[: len(commits) * moment // MOMENTS])
    environ = {"BACKEND": "embedded", "EMBEDDED_FILE": str(directory / "data.sqlite3"), **QUICK}
    async with open_backend(BackendSettings.from_environ(environ), Runtime()) as opened:
        for start in range(0, len(stored), MAX_MUTATIONS):
            await opened.tables.commit(stored[start : start + MAX_MUTATIONS])
    ago = time.time() - _time_of(recording)
    runtime = Runtime(now=lambda: time.time() - ago)

    async with running_suite(environ, runtime_of=lambda _: runtime) as suite:
        await suite.balances(60)
        rows = await suite.backend.tables.lookup([each.key for each in stored])
    return [
        f"{each.key} lost fields"
        for each in stored
        if each.key in rows and lost_properties(each.entity, rows[each.key].entity)
    ]


@releases
def test_a_release_reads_everything_that_is_written_now(release: str, current: Path, tmp_path: Path):
    library = version(release, tmp_path).environ["PYTHONPATH"]
    reader = (sys.executable, "-P", RELEASES / release / "reader.py", current)
    result = subprocess.run(
        reader,
        check=False,
        env={**os.environ, "PYTHONPATH": library},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )

    assert (result.returncode, result.stdout) == (0, ""), result.stderr


@releases
def test_nothing_is_written_that_a_release_does_not_expect(release: str, current: Path):
    before = shapes_of(*(RELEASES / release / backend for backend in BACKENDS))

    known, optional = READ_SINCE["fields"], READ_SINCE["optional"]
    assert list(breaks(before, shapes_of(current), known, optional)) == []


@pytest.mark.parametrize(
    ("field", "value", "found"),
    [
        ("count", None, "is not written any more"),
        ("count", "3", "is now str"),
        ("colour", "red", "is written before its readers were released"),
    ],
)
def test_gate_finds_fields_that_are_removed_retyped_or_new(field: str, value: object, found: str):
    before, after = Shapes(), Shapes()
    item = {"itemid": "blue", "count": 3}
    before.add("Cart", {"items": [item]})
    after.add("Cart", {"items": [{name: each for name, each in {**item, field: value}.items() if each}]})

    (problem,) = breaks(before, after)

    assert problem.startswith(f"Cart.items[].{field} {found}")
    assert "docs/releasing.md" in problem
    assert list(breaks(before, after, read_since=[f"Cart.items[].{field}"])) == (
        [] if field == "colour" else [problem]
    )


def test_gate_finds_a_field_that_is_not_always_written_any_more():
    before, after = Shapes(), Shapes()
    for cart in ({"status": "open"}, {"status": "closed"}):
        before.add("Cart", cart)
    after.add("Cart", {"status": "open"})
    after.add("Cart", {})

    assert [each.partition(",")[0] for each in breaks(before, after)] == [
        "Cart.status is not always written any more"
    ]
    assert list(breaks(before, after, optional_since=["Cart.status"])) == []


def test_gate_accepts_a_renamed_field_once_no_reader_needs_the_old_name():
    before, after = Shapes(), Shapes()
    before.add("Cart", {"status": "open"})
    after.add("Cart", {"state": "open"})

    assert len(list(breaks(before, after))) == 2
    assert list(breaks(before, after, read_since=["Cart.state"], optional_since=["Cart.status"])) == []


@releases
def test_release_has_every_kind_in_every_state(release: str):
    seen = set()
    for backend in BACKENDS:
        for key, entity in read_commits(RELEASES / release / backend):
            seen.add((key.kind, (entity or {}).get("status", "")))

    expected = {
        "Cart": {"open", "closed", "checked-out"},
        "OrderTicket": {
            "pre-approved",
            "reserved",
            "approved",
            "reserve-failed",
            "payment-failed",
            "canceled",
        },
        "Reservation": {"reserved", "refused", "sold", "released"},
        "Payment": {"charging", "charged", "settled", "declined", "canceled"},
        "Delivery": {"arranged"},
    }
    assert {(kind, status) for kind, statuses in expected.items() for status in statuses} <= seen


def _time_of(directory: Path) -> float:
    """Return the time of the last change of a ticket in a recording."""
    tickets = [entity for key, entity in read_commits(directory) if key.kind == "OrderTicket" and entity]
    return max(entry["time"] for ticket in tickets for entry in ticket["history"])
