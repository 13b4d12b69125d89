"""The command line: a group of commands, each imported when it is called.

So a command does not import what only others need.
"""

import importlib
from collections.abc import Mapping
from typing import Any

import click

from sagakit.ctl.errors import CommandError
from sagakit.ctl.load import load_project
from sagakit.ctl.project import Project
from sagakit.telemetry.logging import open_standard_streams

COMMANDS = {
    "up": "sagakit.ctl.cli.up",
    "ps": "sagakit.ctl.cli.processes",
    "stop": "sagakit.ctl.cli.processes",
    "start": "sagakit.ctl.cli.processes",
    "restart": "sagakit.ctl.cli.processes",
    "logs": "sagakit.ctl.cli.processes",
    "audit": "sagakit.ctl.cli.audit",
    "dlq": "sagakit.ctl.cli.dlq",
    "backfill": "sagakit.ctl.cli.backfill",
    "migrate": "sagakit.ctl.cli.migrate",
    "provision": "sagakit.ctl.cli.provision",
    "token": "sagakit.ctl.cli.token",
    "clean": "sagakit.ctl.cli.clean",
    "new": "sagakit.ctl.cli.new",
}
"""The commands of every project: where each is, under its own name."""


class ProjectGroup(click.Group):
    """The commands of every project and of the one that is loaded, which may replace some."""

    def __init__(self, *args: Any, reference: str = "", **kwargs: Any) -> None:
        """`reference`: `module:NAME` of the project; "": it is found when it is needed."""
        super().__init__(*args, **kwargs)
        self._reference = reference
        self._loaded: Project | None = None

    def main(self, *args: Any, **kwargs: Any) -> Any:
        open_standard_streams()
        return super().main(*args, **kwargs)

    def make_context(self, info_name: str | None, args: list[str], *more: Any, **extra: Any) -> click.Context:
        extra.setdefault("obj", self._project)
        return super().make_context(info_name, args, *more, **extra)

    def list_commands(self, _ctx: click.Context) -> list[str]:
        return list(self._modules)

    def get_command(self, _ctx: click.Context, cmd_name: str) -> click.Command | None:
        module = self._modules.get(cmd_name)
        if module is None:
            return None
        try:
            command = getattr(importlib.import_module(module), cmd_name)
        except ModuleNotFoundError as error:
            raise CommandError(f"{cmd_name} needs {error.name}, which is not installed") from error
        return command if isinstance(command, click.Command) else None

    @property
    def _modules(self) -> Mapping[str, str]:
        return {**COMMANDS, **(self._project.commands if self._project else {})}

    @property
    def _project(self) -> Project | None:
        if self._loaded is None:
            self._loaded = load_project(self._reference)
        return self._loaded


def command_line(reference: str = "") -> ProjectGroup:
    """Return the command line of the project `module:NAME`; "": of the one that is found."""
    return ProjectGroup(
        "sagactl",
        reference=reference,
        context_settings={"help_option_names": ["-h", "--help"]},
        help="Run, provision and inspect the suite.",
    )


main = command_line()
