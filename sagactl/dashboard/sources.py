"""Opens the data sources of the dashboard."""

import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

from contract.topology import TOPOLOGY
from sagactl.dashboard.dashboard import DataSources
from sagakit.backends import open_backend, open_broker, open_pull_subscription
from sagakit.ctl.inspect.connect import open_settings
from sagakit.ctl.inspect.target import choose
from sagakit.ctl.local.control_client import request
from sagakit.runtime import Runtime
from sagakit.tables import Key


@asynccontextmanager
async def open_data_sources(
    run_dir: Path, environ: Mapping[str, str] = os.environ
) -> AsyncIterator[DataSources]:
    """Context manager: the data sources of the dashboard. Raises as `open_tables`."""
    suite = choose(run_dir, environ).suite
    async with (
        open_settings(run_dir, environ) as settings,
        open_broker(settings, Runtime()) as broker,
        open_backend(settings, Runtime()) as backend,
    ):
        await backend.tables.lookup([Key("Probe", "probe")])
        yield DataSources(
            where=f"{settings.backend}, {suite.gateway if suite else settings.project}",
            broker=broker,
            tables=backend.tables,
            dead_letters=partial(open_pull_subscription, settings, TOPOLOGY.dead_letter_subscription),
            programs=partial(request, Path(suite.control), "ps", "") if suite else None,
        )
