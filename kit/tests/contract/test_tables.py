"""Every implementation of `Tables` keeps its promises."""

import pytest

from sagakit.tables import MAX_MUTATIONS
from sagakit.testing.contracts import TablesContract


class TestTables(TablesContract):
    @pytest.fixture
    def max_mutations(self, request: pytest.FixtureRequest) -> int:
        """The Datastore emulator accepts 25 mutations a commit; production and the others 500."""
        return MAX_MUTATIONS if "datastore" in request.node.callspec.id else 500

    @pytest.fixture
    def max_entity_bytes(self, request: pytest.FixtureRequest) -> int | None:
        return None if "memory" in request.node.callspec.id else 1_100_000
