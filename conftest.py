"""Fixtures that several suites share: backends on Google's emulators, which the kit's plugin starts once."""

import os
import uuid
from collections.abc import Mapping

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
