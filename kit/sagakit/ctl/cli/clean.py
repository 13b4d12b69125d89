"""`sagactl clean`: remove the run directory."""

from pathlib import Path

import click

from sagakit.ctl.cli import options
from sagakit.ctl.local import runfile


@click.command()
@options.run_dir
def clean(run_dir: Path) -> None:
    """Remove the data and logs of a local suite; a directory that holds anything else is left as it is."""
    runfile.remove(run_dir)
