"""Fixtures that several suites share: Google's emulators, started once, and backends on them."""

import os
import uuid
from collections.abc import Iterator, Mapping

import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal

# One namespace of the folders in tests, kit/tests and client/tests; pytest would make a package of the first.
import tests.support  # noqa: F401
from sagakit.ctl.local.emulators import DATASTORE, FIRESTORE, PUBSUB, Emulator, running, why_unavailable


def pytest_configure() -> None:
    # Set before gRPC is imported: its fork handlers sometimes abort a child that a `sagactl` test starts.
    os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "0"


@pytest.fixture(scope="session", autouse=True)
def _no_emulators_from_the_shell() -> None:
    """Ignore emulators that the shell names: they may hold data. Tests start their own."""
    for name in ("DATASTORE_EMULATOR_HOST", "PUBSUB_EMULATOR_HOST"):
        os.environ.pop(name, None)


@pytest.fixture(scope="session")
def _portal() -> Iterator[BlockingPortal]:
    # The emulators end with the thread that started them, so it must live as long as the session.
    with start_blocking_portal() as portal:
        yield portal


def _emulator(emulator: Emulator, portal: BlockingPortal, directory: pytest.TempPathFactory) -> Iterator[str]:
    missing = why_unavailable(emulator)
    if missing is not None:
        problem = f"cannot start the {emulator.title}: {missing}"
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(problem)
    log = directory.mktemp("emulators") / f"{emulator.component}.log"
    with portal.wrap_async_context_manager(running(emulator, log)) as host_and_port:
        yield host_and_port


@pytest.fixture(scope="session")
def firestore_emulator(_portal: BlockingPortal, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The "host:port" of a Firestore emulator in Datastore mode."""
    yield from _emulator(FIRESTORE, _portal, tmp_path_factory)


@pytest.fixture(scope="session")
def datastore_emulator(_portal: BlockingPortal, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The "host:port" of a Datastore emulator."""
    yield from _emulator(DATASTORE, _portal, tmp_path_factory)


@pytest.fixture(scope="session")
def pubsub_emulator(_portal: BlockingPortal, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The "host:port" of a Pub/Sub emulator."""
    yield from _emulator(PUBSUB, _portal, tmp_path_factory)


@pytest.fixture
def project() -> str:
    """Return a project id for this test, so that tests can share an emulator."""
    return f"test-{uuid.uuid4().hex[:12]}"


@pytest.fixture(params=["embedded", pytest.param("emulators", marks=pytest.mark.emulators)])
def backend_environ(request: pytest.FixtureRequest, tmp_path, project: str) -> Mapping[str, str]:
    """Select an empty backend for this test: the embedded one, then Google's emulators."""
    if request.param == "embedded":
        return {"BACKEND": "embedded", "EMBEDDED_FILE": str(tmp_path / "data.sqlite3")}
    return {
        "BACKEND": "gcp",
        "GOOGLE_CLOUD_PROJECT": project,
        "DATASTORE_EMULATOR_HOST": request.getfixturevalue("firestore_emulator"),
        "PUBSUB_EMULATOR_HOST": request.getfixturevalue("pubsub_emulator"),
    }
