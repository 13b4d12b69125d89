"""`sagactl new project`, as a stranger uses it: with the kit's wheel, in an empty folder."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.kit_environment import make_environment
from tests.support.local_suite import LocalSuite, suite

TOOLS = ("mypy", "ruff")
CHECKS = ("ruff check .", "ruff format --check .", "mypy", "python -m pytest -q")
NO_EMULATORS = {"BACKEND": "auto", "PYTHONPATH": "", "PATH": os.environ["PATH"]}

pytestmark = [
    pytest.mark.timeout(600),
    pytest.mark.skipif(sys.platform != "linux", reason="reads /proc"),
]


@pytest.fixture(scope="module")
def binaries(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_environment(tmp_path_factory.mktemp("kit"), "ctl,grpc,testing", *TOOLS).parent


@pytest.fixture(scope="module")
def project(binaries: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("empty") / "cinema"
    made = run(binaries, "sagactl", "new", "project", str(folder))
    assert made.returncode == 0, made.stderr
    return folder


def run(
    binaries: Path, program: str, *arguments: str, folder: Path | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        (binaries / program, *arguments),
        cwd=folder or binaries,
        env={"PATH": f"{binaries}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("line", CHECKS, ids=lambda line: line[:6])
def test_checks_of_the_new_project_are_green(line: str, binaries: Path, project: Path):
    ended = run(binaries, *line.split(), folder=project)

    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_kit_is_never_taken_from_an_index(binaries: Path, tmp_path: Path):
    """It is not published: a package of that name would be another one."""
    folder = tmp_path / "theatre"
    made = run(binaries, "sagactl", "new", "project", str(folder))
    built = subprocess.run(
        ["make", "check"],
        cwd=folder,
        env={"PATH": os.environ["PATH"], "SAGAKIT": ""},
        capture_output=True,
        text=True,
        check=False,
    )

    assert f"cd {folder}; make check SAGAKIT=/path/to/saga/kit; make run" in made.stdout
    assert built.returncode == 2
    assert "SAGAKIT is not set: give the folder or wheel of sagakit" in built.stderr
    assert not (folder / ".venv").exists()
    assert "SAGAKIT: ${{ vars.SAGAKIT }}" in (folder / ".github/workflows/check.yml").read_text()
    assert "\nARG SAGAKIT\n" in (folder / "Dockerfile").read_text()


def test_service_that_is_added_to_the_new_project_is_green(binaries: Path, tmp_path: Path):
    folder = tmp_path / "theatre"
    assert run(binaries, "sagactl", "new", "project", str(folder)).returncode == 0

    made = run(
        binaries,
        "sagactl",
        "new",
        "service",
        "box-office",
        "--subscribes",
        "seats",
        "--publishes",
        folder=folder,
    )
    silent = run(
        binaries, "sagactl", "new", "service", "zed", "--subscribes", "box-office", folder=folder / "tests"
    )

    assert [line for line in made.stdout.splitlines() if line.startswith("changed")] == [
        "changed  contract/events.py",
        "changed  contract/topology.py",
    ]
    assert silent.returncode == 0, silent.stderr
    assert 'topic="theatre.box-office"' in (folder / "contract/topology.py").read_text()
    for line in CHECKS:
        ended = run(binaries, *line.split(), folder=folder)
        assert ended.returncode == 0, ended.stdout + ended.stderr


def test_service_whose_publisher_has_no_event_types_is_an_error_of_one_line(binaries: Path, tmp_path: Path):
    folder = tmp_path / "theatre"
    assert run(binaries, "sagactl", "new", "project", str(folder)).returncode == 0
    events = folder / "contract/events.py"
    events.write_text(events.read_text().replace('"seats.', '"chairs.'))

    ended = run(binaries, "sagactl", "new", "service", "box-office", "--subscribes", "seats", folder=folder)

    assert (ended.returncode, ended.stderr) == (
        1,
        "Error: contract.events has no event type whose name begins with 'seats.'\n",
    )
    assert not (folder / "services/box_office").exists()


@pytest.fixture
def running(binaries: Path, project: Path) -> Iterator[LocalSuite]:
    """The project's services, by `sagactl up` in its folder, without emulators."""
    up = (str(binaries / "sagactl"), "up")
    with suite(project, argv=up, environ=NO_EMULATORS) as local:
        local.until_printed("\nready\n")
        yield local


def test_services_of_the_new_project_run_and_can_be_inspected(
    running: LocalSuite, binaries: Path, project: Path
):
    def sagactl(line: str) -> str:
        ended = run(binaries, "sagactl", *line.split(), folder=project / "services")
        assert ended.returncode == 0, ended.stderr
        return ended.stdout

    where = f"--run-dir {running.run_dir}"

    assert "backend: embedded (sagakit is installed without the extra gcp)" in running.output
    assert sagactl(f"book b-1 --seats 2 {where}") == "b-1: confirmed\n"
    assert sagactl(f"book b-2 --seats 101 {where}") == "b-2: rejected (sold-out)\n"
    assert [line.split()[:2] for line in sagactl(f"ps {where}").splitlines()] == [
        ["bookings", "running"],
        ["seats", "running"],
    ]
    assert "event applied" in sagactl(f"logs seats {where}")
    assert sagactl(f"dlq list {where}") == "no dead letters\n"
    assert sagactl(f"migrate {where}") == "no migrations\n"
    assert "topic cinema.requests\n" in sagactl(f"provision {where}")

    running.pids()
    assert running.end(signal.SIGINT) == 0
    assert not (running.run_dir / "suite.json").exists()
    sagactl(f"clean {where}")
    assert not running.run_dir.exists()


def test_a_dead_letter_is_listed_and_redriven_only_on_demand(
    running: LocalSuite, binaries: Path, project: Path
):
    """A project that compares dead letters with no record has unverified ones only."""
    code = (
        "import asyncio, os, sagakit\n"
        "from contract.events import SEATS_RESERVED, Answer\n"
        "from sagakit.ctl.inspect.connect import open_suite_backend\n"
        "from pathlib import Path\n"
        "async def publish():\n"
        "    async with open_suite_backend(Path('.run')) as backend:\n"
        "        event = SEATS_RESERVED.encode(Answer('nothing'), 'e-1', 0.0)\n"
        "        await backend.bus.publish('cinema.seats', [event.to_message()])\n"
        "asyncio.run(publish())\n"
    )
    published = run(binaries, "python", "-c", code, folder=project)
    assert published.returncode == 0, published.stderr
    running.until_printed("event dead-lettered")

    listed = run(binaries, "sagactl", "dlq", "list", folder=project)
    redriven = run(binaries, "sagactl", "dlq", "redrive", "--execute", folder=project)

    assert listed.stdout == (
        "e-1  bookings-service.cinema.seats  unknown-booking  seats.Reserved  "
        "unverified: the project compares it with no record\n"
    )
    assert redriven.returncode == 1
    assert redriven.stdout.splitlines()[-1] == (
        "1 not redriven: they are unverified, and --unverified is not given"
    )


def test_nothing_is_overwritten(binaries: Path, project: Path):
    before = {file: file.read_bytes() for file in project.rglob("*") if file.is_file()}

    again = run(binaries, "sagactl", "new", "project", str(project))

    assert (again.returncode, again.stderr) == (1, f"Error: {project} is not empty: nothing was written\n")
    assert {file: file.read_bytes() for file in project.rglob("*") if file.is_file()} == before


@pytest.mark.parametrize("name", ["Cinema", "my_cinema", "1st", "a" * 31, "-"])
def test_name_that_cannot_be_used_is_an_error_of_one_line(name: str, binaries: Path, tmp_path: Path):
    ended = run(binaries, "sagactl", "new", "project", str(tmp_path / name))

    assert ended.returncode == 1
    assert ended.stderr.startswith(f"Error: {name!r} is no name of a project: it must match")
    assert len(ended.stderr.splitlines()) == 1
    assert not (tmp_path / name).exists()
