"""The project that `sagactl` acts on: how it is found, and the error if there is none."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from sagakit.ctl.cli.provision import ensure_provisioned
from sagakit.ctl.local.plan import EMBEDDED, choose
from sagakit.topology import ServiceDeclaration, Topology

KIT = Path(__file__).parents[2]
MODULE = """
from sagakit import ServiceDeclaration, Topology
from sagakit.ctl.project import Project

PROJECT = Project(Topology((ServiceDeclaration("{service}", topic="{service}-events"),)), commands={commands})
NOTHING = 1
"""
COMMAND = """
import click

@click.command()
def wave():
    "Wave."
    click.echo("waved")
"""


def project(folder: Path, service: str, pyproject: str = "") -> Path:
    folder.mkdir(parents=True)
    (folder / f"of_{service}.py").write_text(
        MODULE.format(service=service, commands={"wave": f"wave_{service}"})
    )
    (folder / f"wave_{service}.py").write_text(COMMAND)
    if pyproject:
        (folder / "pyproject.toml").write_text(pyproject)
    return folder


def sagactl(folder: Path, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run a command in a folder, without the projects that are installed here."""
    hide = "import importlib.metadata as m; m.entry_points = lambda **_: (); "
    code = f"{hide}from sagakit.ctl.main import main; main(prog_name='sagactl')"
    return subprocess.run(
        (sys.executable, "-c", code, *arguments),
        cwd=folder,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(KIT), **environ},
        capture_output=True,
        text=True,
        check=False,
    )


def provisioned(folder: Path, **environ: str) -> str:
    """Return what provisioning prints first: the topic of the project's service."""
    backend = {"BACKEND": "embedded", "EMBEDDED_FILE": str(folder / "data.sqlite3")}
    return sagactl(folder, "provision", **backend, **environ).stdout.partition("\n")[0]


def test_project_of_the_nearest_pyproject_is_found_from_below(tmp_path: Path):
    project(tmp_path / "shop", "bakery", '[tool.sagactl]\nproject = "of_bakery:PROJECT"\n')
    inner = tmp_path / "shop/inner"
    inner.mkdir()
    (inner / "pyproject.toml").write_text("[tool.other]\n")

    assert provisioned(inner) == "topic bakery-events"
    assert sagactl(inner, "wave").stdout == "waved\n"


def test_project_that_the_environment_names_comes_before_that_of_the_folder(tmp_path: Path):
    here = project(tmp_path / "here", "bakery", '[tool.sagactl]\nproject = "of_bakery:PROJECT"\n')
    elsewhere = project(tmp_path / "elsewhere", "dairy")
    path = f"{KIT}{os.pathsep}{elsewhere}"

    assert provisioned(here, SAGA_PROJECT="of_dairy:PROJECT", PYTHONPATH=path) == "topic dairy-events"


@pytest.mark.parametrize("command", ["up", "provision", "dlq list", "migrate"])
def test_without_a_project_commands_say_how_to_name_one(command: str, tmp_path: Path):
    backend = {"BACKEND": "embedded", "EMBEDDED_FILE": str(tmp_path / "data.sqlite3")}

    ended = sagactl(tmp_path, *command.split(), **backend)

    assert ended.returncode == 1
    assert ended.stderr.splitlines()[-1].startswith("Error: no project: name one by SAGA_PROJECT=module:NAME")


def test_without_a_project_there_is_help(tmp_path: Path):
    assert "provision" in sagactl(tmp_path, "--help").stdout


@pytest.mark.parametrize(
    ("reference", "why"),
    [
        ("no_such_module:PROJECT", "No module named 'no_such_module'"),
        ("of_bakery:WRONG", "has no attribute 'WRONG'"),
        ("of_bakery:NOTHING", "is no sagakit.ctl.project.Project"),
        ("of_bakery", "of_bakery"),
        (":", "cannot load the project :"),
    ],
)
def test_project_that_cannot_be_loaded_is_an_error_of_one_line(reference: str, why: str, tmp_path: Path):
    folder = project(tmp_path / "shop", "bakery", f'[tool.sagactl]\nproject = "{reference}"\n')

    ended = sagactl(folder, "ps")

    assert ended.returncode == 1
    assert len(ended.stderr.splitlines()) == 1
    assert why in ended.stderr


async def test_topics_of_others_are_created_on_this_machine(tmp_path: Path):
    """An emulator or the embedded backend has no others."""
    topology = Topology(
        (ServiceDeclaration("bakery", subscribes_to=("mills",)),), foreign_topics={"mills": "flour"}
    )
    environ = {"BACKEND": "embedded", "EMBEDDED_FILE": str(tmp_path / "data.sqlite3")}

    lines = await ensure_provisioned(topology, environ)

    assert lines == [
        "topic flour",
        "topic dead-letter",
        "subscription bakery-service.flour of flour",
        "subscription dead-letter of dead-letter",
    ]


def test_emulators_are_not_chosen_without_the_packages_to_use_them():
    chosen = choose("auto", {}, missing="sagakit is installed without the extra gcp")

    assert chosen.backend == EMBEDDED
