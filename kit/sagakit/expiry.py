"""Removes what has expired, where the database does not do so by itself."""

import structlog

from sagakit.errors import SagaError
from sagakit.runtime import Runtime
from sagakit.tables import Tables

log = structlog.get_logger()

PASS_SECONDS = 600.0
MAX_BATCH_ROWS = 500


class Expiry:
    """Several may do so at once."""

    def __init__(self, tables: Tables, runtime: Runtime) -> None:
        self._tables = tables
        self._runtime = runtime

    async def run(self) -> None:
        """Remove until cancelled; a pass every ten minutes or so, and more of them where there is more."""
        more = False
        while True:
            await self._runtime.sleep(0.1 if more else self._runtime.random.uniform(0, 2 * PASS_SECONDS))
            more = await self._remove() == MAX_BATCH_ROWS

    async def _remove(self) -> int:
        try:
            removed = await self._tables.expire(self._runtime.now(), MAX_BATCH_ROWS)
        except SagaError as error:
            log.warning("expiry failed, will retry", error=str(error))
            return 0
        if removed:
            log.info("expired entities removed", count=removed)
        return removed
