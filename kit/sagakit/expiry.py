"""Deletes expired entities, for databases that do not do so automatically."""

import structlog

from sagakit.errors import SagaError
from sagakit.runtime import Runtime
from sagakit.tables import Tables

log = structlog.get_logger()

PASS_SECONDS = 600.0
MAX_BATCH_ROWS = 500


class Expiry:
    """Deletes expired entities at intervals. Several processes may do so at once."""

    def __init__(self, tables: Tables, runtime: Runtime) -> None:
        self._tables = tables
        self._runtime = runtime

    async def run(self) -> None:
        """Delete until cancelled: every PASS_SECONDS on average, and at once while batches are full."""
        more = False
        while True:
            await self._runtime.sleep(0.1 if more else self._runtime.random.uniform(0, 2 * PASS_SECONDS))
            more = await self._delete() == MAX_BATCH_ROWS

    async def _delete(self) -> int:
        try:
            removed = await self._tables.expire(self._runtime.now(), MAX_BATCH_ROWS)
        except SagaError as error:
            log.warning("expiry failed, will retry", error=str(error))
            return 0
        if removed:
            log.info("expired entities removed", count=removed)
        return removed
