"""The fixtures of the kit's tests where the repository around them is missing; there are no emulators."""

import uuid

import pytest


@pytest.fixture
def project() -> str:
    """Return a project id for this test."""
    return f"test-{uuid.uuid4().hex[:12]}"
