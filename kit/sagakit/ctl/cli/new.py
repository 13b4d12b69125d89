"""`sagactl new`: write a project, or a service of one."""

from importlib.resources import files
from pathlib import Path

import click

from sagakit.ctl import scaffold
from sagakit.ctl.errors import CommandError
from sagakit.ctl.text import echo
from sagakit.topology import check_name
from sagakit.version import __version__

TEMPLATES = files("sagakit.ctl") / "templates"


@click.group()
def new() -> None:
    """Write a new project, or a new service."""


@new.command()
@click.argument("directory", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--name", help="Name of the project, and prefix of its topics; default: that of DIR.")
def project(directory: Path, name: str | None) -> None:
    """Write a project of two services to DIR, which must be empty or missing."""
    name = name or directory.absolute().name
    try:
        check_name(name, "project")
    except ValueError as error:
        raise CommandError(f"{error}; --name gives another") from error
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise CommandError(f"{directory} is not empty: nothing was written")
    for path in scaffold.write(TEMPLATES / "project", directory, {"name": name, "version": __version__}):
        echo(directory / path)
    echo("")
    echo(f"Next: cd {directory}; make check; make run (README.md)")
