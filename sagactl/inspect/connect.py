"""A look into the tables of a suite, whichever backend they are in."""

import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

from contract.control import request
from contract.topology import DEAD_LETTER_SUBSCRIPTION
from sagactl.dashboard.dashboard import DataSources
from sagactl.errors import CommandError
from sagactl.local.runfile import read_suite
from sagakit.backends import open_backend, open_broker, open_pull_subscription
from sagakit.bus import Bus, PullSubscription
from sagakit.errors import Unavailable
from sagakit.runtime import Runtime
from sagakit.settings import BackendSettings, SettingsError
from sagakit.tables import Tables


@asynccontextmanager
async def open_tables(run_dir: Path, environ: Mapping[str, str] = os.environ) -> AsyncIterator[Tables]:
    """Those the environment names; else those of the suite that runs in `run_dir`.

    CommandError where neither is there, or the backend is away.
    """
    async with _looking(run_dir, environ) as settings, open_backend(settings, Runtime()) as backend:
        yield backend.tables


@asynccontextmanager
async def open_dead_letters(
    run_dir: Path, environ: Mapping[str, str] = os.environ
) -> AsyncIterator[tuple[PullSubscription, Bus]]:
    """Where the dead letters are, and what they are put back through. CommandError as for `open_tables`."""
    async with (
        _looking(run_dir, environ) as settings,
        open_pull_subscription(settings, DEAD_LETTER_SUBSCRIPTION) as subscription,
        open_backend(settings, Runtime()) as backend,
    ):
        yield subscription, backend.bus


@asynccontextmanager
async def open_data_sources(
    run_dir: Path, environ: Mapping[str, str] = os.environ
) -> AsyncIterator[DataSources]:
    """All there is to watch. CommandError as for `open_tables`."""
    suite = read_suite(run_dir) if _local(run_dir, environ) else None
    async with (
        _looking(run_dir, environ) as settings,
        open_broker(settings, Runtime()) as messages,
        open_backend(settings, Runtime()) as backend,
    ):
        yield DataSources(
            where=f"{settings.backend}, {suite.gateway}"
            if suite
            else f"{settings.backend}, {settings.project}",
            messages=messages,
            tables=backend.tables,
            dead_letters=partial(open_pull_subscription, settings, DEAD_LETTER_SUBSCRIPTION),
            programs=partial(request, Path(suite.control), "ps", "") if suite else None,
        )


@asynccontextmanager
async def _looking(run_dir: Path, environ: Mapping[str, str]) -> AsyncIterator[BackendSettings]:
    try:
        settings = BackendSettings.from_environ({**environ, **_local(run_dir, environ)})
        if settings.backend == "embedded" and not settings.embedded_file.exists():
            # Opened, it would be made, and nothing is what there is nothing wrong with.
            raise CommandError(f"there is no embedded backend in {settings.embedded_file}")
        yield settings
    except SettingsError as error:
        raise CommandError(f"no suite runs in {run_dir}, and {error}") from error
    except Unavailable as error:
        raise CommandError(f"the backend does not answer: {error}") from error


def _local(run_dir: Path, environ: Mapping[str, str]) -> Mapping[str, str]:
    """What names the backend of a local suite, unless the environment names one already."""
    named = "EMBEDDED_FILE" if environ.get("BACKEND") == "embedded" else "GOOGLE_CLOUD_PROJECT"
    suite = None if environ.get(named) else read_suite(run_dir)
    return {} if suite is None else suite.environ
