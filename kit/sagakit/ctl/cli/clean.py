"""`sagactl clean`: remove the run directory."""

import shutil
from pathlib import Path

import click

from sagakit.ctl.cli import options
from sagakit.ctl.local.runfile import locked


@click.command()
@options.run_dir
def clean(run_dir: Path) -> None:
    """Remove the data and logs of a local suite."""
    if run_dir.exists():
        with locked(run_dir):
            shutil.rmtree(run_dir)
