"""The SQLite file, and the thread of this process that uses it."""

import asyncio
import os
import sqlite3
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TypeVar

from sagakit.errors import Unavailable

T = TypeVar("T")

LOCK_TIMEOUT_SECONDS = 10.0
_RETRY_INTERVAL_SECONDS = 0.01

_CREATING = threading.Lock()
_SCHEMA = """
CREATE TABLE IF NOT EXISTS sequence (version INTEGER NOT NULL);
INSERT INTO sequence SELECT 0 WHERE NOT EXISTS (SELECT * FROM sequence);
CREATE TABLE IF NOT EXISTS entity (
    kind TEXT NOT NULL, name TEXT NOT NULL, version INTEGER NOT NULL, body TEXT NOT NULL, due TEXT,
    expires_at REAL, PRIMARY KEY (kind, name)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS entity_due ON entity (kind, due) WHERE due IS NOT NULL;
CREATE INDEX IF NOT EXISTS entity_expires ON entity (expires_at) WHERE expires_at IS NOT NULL;
CREATE TABLE IF NOT EXISTS topic (name TEXT PRIMARY KEY);
CREATE TABLE IF NOT EXISTS subscription (
    name TEXT PRIMARY KEY, topic TEXT NOT NULL, dead_letter_topic TEXT,
    max_delivery_attempts INTEGER NOT NULL, min_retry_seconds REAL NOT NULL,
    max_retry_seconds REAL NOT NULL, ack_deadline_seconds REAL NOT NULL
);
CREATE TABLE IF NOT EXISTS message (
    id INTEGER PRIMARY KEY AUTOINCREMENT, subscription TEXT NOT NULL, data BLOB NOT NULL,
    attributes TEXT NOT NULL, visible_at REAL NOT NULL, attempt INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX IF NOT EXISTS message_visible ON message (subscription, visible_at);
"""


class Database:
    """Runs transactions, one at a time, off the event loop."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="sqlite")
        self._connection: sqlite3.Connection | None = None
        self._closed = False

    async def write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run `work` in one transaction; roll back if it raises. Raises Unavailable for SQLite errors."""
        return await self._run(partial(self._transaction, work))

    async def read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run `work`, which only reads, on the latest commit. Raises Unavailable for an error of SQLite."""
        return await self._run(lambda: work(self._open()))

    async def close(self) -> None:
        """Close the file after the work under way. Later reads and writes raise Unavailable."""
        self._closed = True
        closing = asyncio.get_running_loop().run_in_executor(self._thread, self._close)
        self._thread.shutdown(wait=False)
        # Shielded: the file is closed, even if the caller is cancelled.
        await asyncio.shield(closing)

    async def _run(self, work: Callable[[], T]) -> T:
        if self._closed:
            raise Unavailable("embedded database: it is closed")
        # Shielded: a transaction that has begun is finished, even if its caller is cancelled.
        running = asyncio.get_running_loop().run_in_executor(self._thread, work)
        try:
            return await asyncio.shield(running)
        except (sqlite3.Error, OSError) as error:
            raise Unavailable(f"embedded database: {error}") from error

    def _transaction(self, work: Callable[[sqlite3.Connection], T]) -> T:
        connection = self._open()
        connection.execute("BEGIN IMMEDIATE")
        try:
            result = work(connection)
            connection.execute("COMMIT")
        except BaseException:
            # After some errors, such as a full disk, SQLite has rolled back already.
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
        return result

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            create_private(self.file)
            connection = sqlite3.connect(self.file, timeout=LOCK_TIMEOUT_SECONDS, isolation_level=None)
            try:
                write_ahead(connection)
                # The file survives a crash of any process. After a power failure it is consistent, state and
                # messages alike, but may lack the last commits: this backend is for one machine.
                connection.execute("PRAGMA synchronous = NORMAL")
                connection.executescript(_SCHEMA)
            except BaseException:
                connection.close()
                raise
            self._connection = connection
        return self._connection

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def create_private(file: Path) -> None:
    """Create the file if it is missing, for its owner only; those that SQLite adds get the same mode."""
    # An existing file is not opened, and no connection of this process is open to a new one before it is
    # closed here: closing any of its descriptors ends all locks that the process holds on it.
    with _CREATING, suppress(FileExistsError):
        os.close(os.open(file, os.O_CREAT | os.O_EXCL, 0o600))


def write_ahead(connection: sqlite3.Connection) -> None:
    """Set a new file to write-ahead logging.

    Retries, as SQLite does not wait for the lock if several processes do this at the same time.
    """
    deadline = time.monotonic() + LOCK_TIMEOUT_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(_RETRY_INTERVAL_SECONDS)
        else:
            return
