"""The SQLite file of the embedded backend: transactions on it, and when it is closed."""

import asyncio
import sqlite3
import threading
from pathlib import Path

import pytest

from sagakit.backends.embedded.database import Database
from sagakit.errors import Unavailable
from tests.support.eventually import eventually


async def test_exception_rolls_the_transaction_back(tmp_path: Path):
    database = Database(tmp_path / "data.sqlite3")

    def half(db: sqlite3.Connection) -> None:
        db.execute("INSERT INTO topic VALUES ('half')")
        raise LookupError

    with pytest.raises(LookupError):
        await database.write(half)

    assert await database.read(lambda db: db.execute("SELECT * FROM topic").fetchall()) == []
    await database.close()


async def test_writes_work_again_after_a_full_disk(tmp_path: Path):
    """Known mistake: the process exits on an I/O error."""
    database = Database(tmp_path / "data.sqlite3")
    pages = await database.read(lambda db: db.execute("PRAGMA page_count").fetchone()[0])
    await database.read(lambda db: db.execute(f"PRAGMA max_page_count = {pages + 3}"))

    def big(db: sqlite3.Connection) -> None:
        db.execute("INSERT INTO topic VALUES (?)", ["x" * 1_000_000])

    with pytest.raises(Unavailable):
        await database.write(big)
    await database.read(lambda db: db.execute("PRAGMA max_page_count = 100000"))
    await database.write(big)

    assert await database.read(lambda db: db.execute("SELECT count(*) FROM topic").fetchone()) == (1,)
    await database.close()


async def test_closed_database_is_not_opened_again(tmp_path: Path):
    database = Database(tmp_path / "data.sqlite3")
    opened: list[sqlite3.Connection] = []
    await database.read(opened.append)

    closing = asyncio.create_task(database.close())
    await asyncio.sleep(0)
    for _ in range(2):
        with pytest.raises(Unavailable):
            await database.read(opened.append)
        await closing

    assert len(opened) == 1


async def test_file_is_closed_even_if_the_caller_is_cancelled(tmp_path: Path):
    file, going_on = tmp_path / "data.sqlite3", threading.Event()
    database = Database(file)
    reading = asyncio.create_task(database.read(lambda _: going_on.wait(10)))
    await eventually(lambda: is_open(file))

    closing = asyncio.create_task(database.close())
    await asyncio.sleep(0)
    closing.cancel()
    await asyncio.gather(closing, return_exceptions=True)
    going_on.set()

    await reading
    await eventually(lambda: not is_open(file))


def is_open(file: Path) -> bool:
    """Return whether this process has the file open."""
    opened = (descriptor.resolve() for descriptor in Path("/proc/self/fd").iterdir())
    return file in opened
