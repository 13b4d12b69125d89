"""A look into the tables of a suite, whichever backend they are in."""

import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from sagactl.errors import CannotRun
from sagactl.runfile import read_suite
from sagakit.backends import BackendSettings, open_backend
from sagakit.errors import Unavailable
from sagakit.runtime import Runtime
from sagakit.settings import BadSetting
from sagakit.tables import Tables


@asynccontextmanager
async def open_tables(run_dir: Path, environ: Mapping[str, str] = os.environ) -> AsyncIterator[Tables]:
    """Those the environment names; else those of the suite that runs in `run_dir`.

    CannotRun where neither is there, or the backend is away.
    """
    try:
        settings = BackendSettings.from_environ({**environ, **_local(run_dir, environ)})
        async with open_backend(settings, Runtime()) as backend:
            yield backend.tables
    except BadSetting as error:
        raise CannotRun(f"no suite runs in {run_dir}, and {error}") from error
    except Unavailable as error:
        raise CannotRun(f"the backend does not answer: {error}") from error


def _local(run_dir: Path, environ: Mapping[str, str]) -> Mapping[str, str]:
    """What names the backend of a local suite, unless the environment names one already."""
    named = "EMBEDDED_FILE" if environ.get("BACKEND") == "embedded" else "GOOGLE_CLOUD_PROJECT"
    suite = None if environ.get(named) else read_suite(run_dir)
    return {} if suite is None else suite.environ
