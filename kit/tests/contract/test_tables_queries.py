"""Tables of the backends that cannot be reached."""

import pytest

from sagakit.backends.embedded.database import Database
from sagakit.backends.embedded.tables import EmbeddedTables
from sagakit.backends.gcp.datastore import open_datastore
from sagakit.errors import OutcomeUnknown, Unavailable
from sagakit.tables import Insert
from sagakit.testing.contracts.entities import A, entity_of


async def test_unreachable_embedded_tables_are_unavailable(tmp_path):
    database = Database(tmp_path / "no-such-folder" / "data.sqlite3")
    tables = EmbeddedTables(database)

    with pytest.raises(Unavailable):
        await tables.lookup([A])
    with pytest.raises(Unavailable):
        await tables.due("Thing", "0", "9", 10)
    with pytest.raises(Unavailable):
        await tables.commit([Insert(A, {})])

    await database.close()


async def test_embedded_tables_recover(tmp_path):
    folder = tmp_path / "later"
    database = Database(folder / "data.sqlite3")
    tables = EmbeddedTables(database)
    with pytest.raises(Unavailable):
        await tables.commit([Insert(A, {"n": 1})])

    folder.mkdir()
    await tables.commit([Insert(A, {"n": 2})])

    assert await entity_of(tables, A) == {"n": 2}
    await database.close()


async def test_unreachable_datastore_is_unavailable():
    async with open_datastore("project", "", "127.0.0.1:1") as tables:
        with pytest.raises(Unavailable):
            await tables.lookup([A])
        with pytest.raises(Unavailable):
            await tables.due("Thing", "0", "9", 10)
        with pytest.raises(OutcomeUnknown):
            await tables.commit([Insert(A, {})])
