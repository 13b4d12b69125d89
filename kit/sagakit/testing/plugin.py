"""A pytest plugin: fixtures for projects on the kit. It does nothing unless they are used."""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from sagakit.testing.suite import MemoryBackend, SagaSuite

pytest.register_assert_rewrite("sagakit.testing.contracts")


@pytest.fixture
def memory_backend() -> "MemoryBackend":
    """A database and a broker in memory: `tables`, `broker`, `connect()`, `provision(topology)`."""
    from sagakit.testing.suite import MemoryBackend

    return MemoryBackend()


@pytest.fixture
def saga_suite() -> "Callable[..., AbstractAsyncContextManager[SagaSuite]]":
    """Run the services of a topology in one process, inside an `async with` block; see `running_suite`.

    In memory, or on the backend that the third argument names, such as the fixture `emulators`.
    """
    from sagakit.testing.suite import running_suite

    return running_suite


@pytest.fixture(scope="session")
def _portal() -> Iterator[Any]:
    from anyio.from_thread import start_blocking_portal

    # The emulators end with the thread that started them, so it must live as long as the session.
    with start_blocking_portal() as portal:
        yield portal


def _running(name: str, portal: Any, directory: pytest.TempPathFactory) -> Iterator[str]:
    from sagakit.ctl.local import emulators

    emulator: emulators.Emulator = getattr(emulators, name)
    missing = emulators.why_unavailable(emulator)
    if missing is not None:
        problem = f"cannot start the {emulator.title}: {missing}"
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(problem)
    log = directory.mktemp("emulators") / f"{emulator.component}.log"
    with portal.wrap_async_context_manager(emulators.running(emulator, log)) as host_and_port:
        yield host_and_port


@pytest.fixture(scope="session")
def firestore_emulator(_portal: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The "host:port" of a Firestore emulator in Datastore mode."""
    yield from _running("FIRESTORE", _portal, tmp_path_factory)


@pytest.fixture(scope="session")
def datastore_emulator(_portal: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The "host:port" of a Datastore emulator."""
    yield from _running("DATASTORE", _portal, tmp_path_factory)


@pytest.fixture(scope="session")
def pubsub_emulator(_portal: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The "host:port" of a Pub/Sub emulator."""
    yield from _running("PUBSUB", _portal, tmp_path_factory)


@pytest.fixture
def emulators(firestore_emulator: str, pubsub_emulator: str) -> Mapping[str, str]:
    """The environment of an empty project on Google's emulators. Skips the test if gcloud or Java is missing.

    Fails instead where the variable CI is `true`.
    """
    from uuid import uuid4

    return {
        "BACKEND": "gcp",
        "GOOGLE_CLOUD_PROJECT": f"test-{uuid4().hex[:12]}",
        "DATASTORE_EMULATOR_HOST": firestore_emulator,
        "PUBSUB_EMULATOR_HOST": pubsub_emulator,
    }
