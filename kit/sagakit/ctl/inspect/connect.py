"""Connections to the backend of the suite that `choose` returns."""

import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from sagakit.backends import Backend, open_backend, open_pull_subscription
from sagakit.ctl.errors import CommandError
from sagakit.ctl.inspect.dead_letter_queue import DeadLetterQueue
from sagakit.ctl.inspect.target import choose
from sagakit.ctl.project import Project
from sagakit.errors import Poison, Unavailable
from sagakit.runtime import Runtime
from sagakit.settings import BackendSettings
from sagakit.tables import Tables


@asynccontextmanager
async def open_tables(run_dir: Path, environ: Mapping[str, str] = os.environ) -> AsyncIterator[Tables]:
    """Context manager: the tables of the backend.

    Raises CommandError if no backend is named and no suite runs in `run_dir`, or it is unavailable.
    """
    async with open_suite_backend(run_dir, environ) as backend:
        yield backend.tables


@asynccontextmanager
async def open_suite_backend(
    run_dir: Path, environ: Mapping[str, str] = os.environ
) -> AsyncIterator[Backend]:
    """Context manager: the backend, to publish, too. Raises as `open_tables`."""
    async with open_settings(run_dir, environ) as settings, open_backend(settings, Runtime()) as backend:
        yield backend


@asynccontextmanager
async def open_dead_letters(
    project: Project, run_dir: Path, environ: Mapping[str, str] = os.environ
) -> AsyncIterator[DeadLetterQueue]:
    """Context manager: the dead letters. Raises as `open_tables`."""
    async with (
        open_settings(run_dir, environ) as settings,
        open_pull_subscription(settings, project.topology.dead_letter_subscription) as subscription,
        open_backend(settings, Runtime()) as backend,
    ):
        yield DeadLetterQueue(subscription, backend.bus, backend.tables, project)


@asynccontextmanager
async def open_settings(run_dir: Path, environ: Mapping[str, str]) -> AsyncIterator[BackendSettings]:
    """Context manager: the settings of the backend; inside the block its errors are the command's."""
    settings = choose(run_dir, environ).settings
    if settings.backend == "embedded" and not settings.embedded_file.exists():
        # Opening a missing file would create an empty database, in which no problem can be found.
        raise CommandError(f"no embedded backend in {settings.embedded_file}")
    try:
        yield settings
    except Unavailable as error:
        raise CommandError(f"the backend does not respond: {error}") from error
    except Poison as error:
        raise CommandError(error.reason) from error
