"""`sagactl up`."""

import asyncio
import os
import signal
from pathlib import Path

import click

from sagactl.cli import options
from sagactl.local import backend as backends
from sagactl.local.plan import Options
from sagactl.local.processes import end_with_parent
from sagactl.local.up import up as run_suite


@click.command()
@click.option(
    "--backend",
    type=click.Choice(backends.CHOICES),
    default=backends.AUTO,
    envvar="BACKEND",
    show_default=True,
    help="Google's emulators, or one SQLite file; auto: emulators if they are installed.",
)
@click.option(
    "--port",
    type=click.IntRange(0, 65_535),
    default=8080,
    envvar="PORT",
    show_default=True,
    help="Port of the gateway; 0 chooses a free one.",
)
@click.option(
    "--replicas",
    type=click.IntRange(1, 16),
    default=1,
    envvar="REPLICAS",
    show_default=True,
    help="Number of processes of each service.",
)
@click.option(
    "--auth/--no-auth",
    default=False,
    envvar="AUTH",
    show_default=True,
    help="Require a bearer token of clients; `sagactl token SUB` prints one.",
)
@click.option("--die-with-parent", is_flag=True, help="Stop when the calling process ends (Linux only).")
@options.run_dir
def up(backend: str, port: int, replicas: int, auth: bool, die_with_parent: bool, run_dir: Path) -> None:
    """Run the whole suite on this machine until Ctrl-C."""
    if die_with_parent:
        end_with_parent(os.getppid(), signal.SIGTERM)
    asyncio.run(run_suite(Options(backend, port, replicas, run_dir, auth)))
