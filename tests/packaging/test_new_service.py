"""`sagactl new service` in a copy of the suite: checks are green, and orders reach it in a running suite."""

import os
import shlex
import signal
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import httpx
import pytest

from contract.topology import TOPOLOGY
from sagactl.project import REACTS_TO
from tests.support.eventually import wait_until
from tests.support.local_suite import LocalSuite, suite

ROOT = Path(__file__).parents[2]
BINARIES = Path(sys.executable).parent
NAME, PACKAGE = "loyalty-points", "loyalty_points"
# As `make proto` and `make generate` do, which need an environment of the copy's own.
PROTOC = (
    *("-m", "grpc_tools.protoc", "-Irpc=proto"),
    *(f"--plugin={plugin}={BINARIES / plugin}" for plugin in ("protoc-gen-mypy", "protoc-gen-mypy_grpc")),
    *("--python_out=.", "--mypy_out=quiet:.", "--grpc_python_out=.", "--mypy_grpc_out=quiet:."),
)

pytestmark = [
    pytest.mark.timeout(600),
    pytest.mark.skipif(sys.platform != "linux", reason="reads /proc"),
]


def copy_of_the_suite(folder: Path) -> Path:
    """Copy the files under version control, as they are in the working tree, and make them a repository."""
    listed = ("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    names = subprocess.run(listed, cwd=ROOT, check=True, capture_output=True).stdout.split(b"\0")
    packed = BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name in filter(None, map(os.fsdecode, names)):
            if (ROOT / name).exists():
                archive.add(ROOT / name, name)
    packed.seek(0)
    with tarfile.open(fileobj=packed) as archive:
        archive.extractall(folder, filter="fully_trusted")
    git(folder, "init", "--quiet")
    git(folder, "add", ".")
    return folder


def git(folder: Path, *arguments: str) -> str:
    return subprocess.run(("git", *arguments), cwd=folder, check=True, capture_output=True, text=True).stdout


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python in a copy, with the copy's packages."""
    return subprocess.run(
        (sys.executable, *arguments),
        cwd=folder,
        env={**os.environ, "PYTHONPATH": packages(folder), "PATH": f"{BINARIES}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )


def packages(folder: Path) -> str:
    return os.pathsep.join(map(str, (folder, folder / "kit", folder / "client")))


def new_service(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return run(folder, "-m", "sagactl", "new", "service", *arguments, "--no-generate")


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy with a fifth service, after the generators."""
    folder = copy_of_the_suite(tmp_path_factory.mktemp("copy"))
    made = new_service(folder, NAME, "--subscribes", "purchase", "--publishes")
    assert made.returncode == 0, made.stderr
    protos = (str(each.relative_to(folder)) for each in (folder / "proto").glob("*.proto"))
    for arguments in ((*PROTOC, *protos), *generators(folder)):
        ended = run(folder, *arguments)
        assert ended.returncode == 0, ended.stderr
    return folder


def generators(folder: Path) -> list[list[str]]:
    """Return what `make generate` runs."""
    recipe = (folder / "Makefile").read_text().partition("\ngenerate:")[2].partition("\n\n")[0]
    return [line.split()[1:] for line in recipe.splitlines()[1:]]


def test_one_file_is_touched_beside_new_and_generated_ones(copy: Path):
    changed = set(git(copy, "diff", "--name-only").split())

    assert "contract/topology.py" in changed
    generated = ("deploy/", "docs/", "compose.yaml", "rpc/")
    assert {name for name in changed if not name.startswith(generated)} == {"contract/topology.py"}


@pytest.mark.parametrize(
    "line",
    [
        "-m ruff check .",
        "-m ruff format --check .",
        "-m tests.language",
        f"-m mypy services/{PACKAGE} services/gateway/routes/{PACKAGE}.py contract/{PACKAGE}.py",
        "-c 'import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports())'",
        f"-m pytest -q -m 'not emulators' tests/unit/test_{PACKAGE}.py tests/saga/test_{PACKAGE}.py",
        "-m pytest -q tests/unit/test_generated_files.py",
    ],
    ids=["lint", "format", "language", "types", "imports", "tests", "generated"],
)
def test_checks_are_green(line: str, copy: Path):
    git(copy, "add", "--intent-to-add", ".")

    ended = run(copy, *shlex.split(line))

    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_protos_are_green(copy: Path):
    for arguments in (("lint",), ("breaking", "--against", "proto/released.binpb")):
        subprocess.run((BINARIES / "buf", *arguments), cwd=copy, check=True)


@pytest.fixture
def running(copy: Path, tmp_path: Path) -> Iterator[LocalSuite]:
    up = (sys.executable, "-m", "sagactl", "up", "--port", "0")
    environ = {"BACKEND": "embedded", "PYTHONPATH": packages(copy)}
    with suite(tmp_path, argv=up, environ=environ) as local:
        local.until_ready()
        yield local


def test_orders_reach_it_in_a_running_suite(running: LocalSuite):
    orderid = running.order(blue=3)
    url = f"{running.facts['gateway']}/v1/{NAME}/{orderid}"

    wait_until(lambda: httpx.get(url, trust_env=False).status_code == 200)

    assert httpx.get(url, trust_env=False).json()["status"] == "approved"
    assert f"orderid={orderid} status=approved" in (running.run_dir / f"logs/{NAME}.log").read_text()
    assert running.end(signal.SIGINT) == 0


@pytest.fixture(scope="module")
def untouched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_of_the_suite(tmp_path_factory.mktemp("untouched"))


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["Loyalty"], "'Loyalty' is no name of a service: it must match"),
        (["loyalty_points"], "'loyalty_points' is no name of a service: it must match"),
        (["l" * 31], "and have at most 30 characters"),
        (["import"], "'import' is no name of a service: it is a word of Python"),
        (["gateway"], "'gateway' is the name of the gateway"),
        (["stock"], "the service 'stock' is declared twice"),
        (["loyalty", "--subscribes", "nothing"], "loyalty subscribes to 'nothing', which publishes nothing"),
        (["tickets", "--publishes"], "contract/tickets.py exists: nothing was written"),
    ],
)
def test_service_that_cannot_be_written_is_an_error_of_one_line(
    arguments: list[str], error: str, untouched: Path
):
    ended = new_service(untouched, *arguments)

    assert ended.returncode == 1
    assert len(ended.stderr.splitlines()) == 1
    assert error in ended.stderr
    assert git(untouched, "status", "--short", "--untracked-files", "contract", "services", "proto") == (
        git(untouched, "status", "--short", "contract", "services", "proto")
    )


@pytest.mark.parametrize("arguments", [["aaa"], ["zzz", "--subscribes", "stock", "--subscribes", "payment"]])
def test_service_that_publishes_nothing_is_tidy(arguments: list[str], tmp_path: Path):
    folder = copy_of_the_suite(tmp_path)

    assert new_service(folder, *arguments).returncode == 0

    assert not (folder / f"contract/{arguments[0]}.py").exists()
    printing = f"from contract.topology import TOPOLOGY; print(TOPOLOGY.service({arguments[0]!r}))"
    declared = run(folder, "-c", printing)
    assert "topic=None" in declared.stdout, declared.stderr
    assert run(folder, "-m", "ruff", "check", "--quiet", ".").stdout == ""
    assert run(folder, "-m", "ruff", "format", "--check", ".").returncode == 0


def test_every_publisher_of_tickets_can_be_subscribed_to():
    assert REACTS_TO.keys() == TOPOLOGY.topics.keys()
