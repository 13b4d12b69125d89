"""Problems in the records of a suite."""

from sagactl.project import PROJECT
from sagakit.audits import run_all
from sagakit.ctl.cli.audit import audits_of
from sagakit.tables import Tables

_AUDITS = audits_of(PROJECT)


async def record_problems(tables: Tables) -> list[str]:
    """Return what does not balance (yet)."""
    return list((await run_all(tables, _AUDITS)).problems)
