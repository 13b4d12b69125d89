"""`sagactl new`: write a project, or a service of one."""

import keyword
import subprocess
import sys
from collections.abc import Collection, Sequence
from dataclasses import replace
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from string import Template

import click

from sagakit.ctl import scaffold
from sagakit.ctl.cli import options
from sagakit.ctl.errors import CommandError
from sagakit.ctl.load import root_of
from sagakit.ctl.project import NewService, Project, ServiceTemplates
from sagakit.ctl.text import echo
from sagakit.topology import ServiceDeclaration, check_name
from sagakit.version import __version__


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
    templates = files("sagakit.ctl") / "templates/project"
    written = scaffold.filled(templates, {"name": name, "version": __version__})
    scaffold.write(directory, written, {})
    for path in written:
        echo(directory / path)
    echo("")
    # Named, as long as the kit is on no index: pip would install another package of that name.
    echo(f"Next: cd {directory}; make check SAGAKIT=/path/to/saga/kit; make run (README.md)")


@new.command()
@click.argument("name")
@click.option(
    "--subscribes",
    "subscribes_to",
    multiple=True,
    metavar="SERVICE",
    help="A service whose events it receives; can be repeated. Default: the first that publishes.",
)
@click.option("--publishes", is_flag=True, help="It publishes events of its own.")
@click.option("--generate/--no-generate", default=True, help="Run the project's generators afterwards.")
def service(name: str, subscribes_to: Sequence[str], publishes: bool, generate: bool) -> None:
    """Write a small service that works, with its tests, and declare it in this project."""
    found = options.project()
    root = root_of(Path.cwd())
    if root is None or found.service_templates is None:
        raise CommandError("not in the folder of a project whose services can be written")
    templates = found.service_templates
    described = NewService(name, subscribes_to or tuple(found.topology.topics)[:1], publishes)
    try:
        _check(found, templates, described)
        topic = Template(templates.topic).substitute(described.names)
        names = {**described.names, "topic": topic, **templates.names(described)}
    except ValueError as error:
        raise CommandError(str(error)) from error
    folder = files(templates.package) / "templates/service"
    written = scaffold.filled(folder / "files", names)
    changed = scaffold.inserted(folder / "insert", names, root)
    scaffold.write(root, written, changed)
    for path in written:
        echo(f"new      {path}")
    for path in changed:
        echo(f"changed  {path}")
    _tidy(root, [*written, *changed])
    for command in templates.generators if generate else ():
        _run(root, command)
    for line in templates.next_steps:
        echo(Template(line).safe_substitute(names))


def _check(project: Project, templates: ServiceTemplates, service: NewService) -> None:
    """Raise ValueError if the service does not fit into the project."""
    topic = Template(templates.topic).substitute(service.names) if service.publishes else None
    declared = ServiceDeclaration(service.name, topic, service.subscribes_to)
    replace(project.topology, services=(*project.topology.services, declared))
    if keyword.iskeyword(service.package):
        raise ValueError(f"{service.name!r} is no name of a service: it is a word of Python")
    if project.gateway is not None and service.name == project.gateway.name:
        raise ValueError(f"{service.name!r} is the name of the gateway")


def _tidy(root: Path, paths: Collection[Path]) -> None:
    """Sort imports, whose order depends on the name, and wrap long lines."""
    modules = [str(path) for path in paths if path.suffix == ".py"]
    if find_spec("ruff") is None:
        echo("ruff is not installed: imports may have to be sorted", err=True)
        return
    for command in (("check", "--quiet", "--select", "I", "--fix"), ("format", "--quiet")):
        _run(root, (sys.executable, "-m", "ruff", *command, *modules), show=False)


def _run(root: Path, command: Sequence[str], *, show: bool = True) -> None:
    if show:
        echo(f"runs     {' '.join(command)}")
    ended = subprocess.run(command, cwd=root, check=False)
    if ended.returncode != 0:
        raise CommandError(f"{command[0]} failed (exit status {ended.returncode}), after all was written")
