"""One service on the embedded backend, called by gRPC."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.suite import Suite, running_suite


@pytest.fixture
async def suite(tmp_path: Path) -> AsyncIterator[Suite]:
    environ = {"BACKEND": "embedded", "EMBEDDED_FILE": str(tmp_path / "data.sqlite3")}
    async with running_suite(environ) as running:
        yield running
