"""Fixtures that several suites share: backends on Google's emulators, which the kit's plugin starts once."""

import os
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

# One namespace of the folders in tests, kit/tests and client/tests; pytest would make a package of the first.
import tests.support  # noqa: F401

# An installed kit is found as a plugin; here its tests and those of the shop use the one in the repository.
pytest_plugins = ["sagakit.testing.plugin"]

collect_ignore = ["tests/fifth_service"]
"""The files of a service that a test adds to a copy of the suite."""


def pytest_configure() -> None:
    # Set before gRPC is imported: its fork handlers sometimes abort a child that a `sagactl` test starts.
    os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "0"


STARTS_SUITES = frozenset({"browser", "docs", "e2e", "fuzz", "packaging"})
"""Folders with tests that start suites of processes."""
STARTS_NONE = frozenset({"test_fifth_service.py", "test_sdist.py", "test_site.py"})
"""Long ones in them that do not: a worker of their own shortens the run."""


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """With `--dist loadscope` a single worker runs all tests that start suites of processes.

    Two suites that start at once may find the same port free: the second one to listen there fails.
    """
    if config.getoption("dist") != "loadscope":
        return None
    from xdist.scheduler import LoadScopeScheduling  # noqa: PLC0415  not every environment has it

    class Scheduling(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = Path(nodeid.partition("::")[0])
            starts_suites = file.parent.name in STARTS_SUITES and file.name not in STARTS_NONE
            return "suites" if starts_suites else super()._split_scope(nodeid)

    return Scheduling(config, log)


@pytest.fixture(scope="session", autouse=True)
def _no_emulators_from_the_shell() -> None:
    """Ignore emulators that the shell names: they may hold data. Tests start their own."""
    for name in ("DATASTORE_EMULATOR_HOST", "PUBSUB_EMULATOR_HOST"):
        os.environ.pop(name, None)


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
