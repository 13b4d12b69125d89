"""The entry point: a group of commands, each imported when it is called.

So a command does not import what only others need.
"""

import importlib
from typing import Any

import click

from sagakit.telemetry.logging import open_standard_streams

COMMANDS = {
    "up": "sagactl.cli.up",
    "demo": "sagactl.cli.demo",
    "ps": "sagactl.cli.processes",
    "stop": "sagactl.cli.processes",
    "start": "sagactl.cli.processes",
    "restart": "sagactl.cli.processes",
    "logs": "sagactl.cli.processes",
    "top": "sagactl.cli.top",
    "order": "sagactl.cli.order",
    "pending": "sagactl.cli.pending",
    "audit": "sagactl.cli.audit",
    "reconcile": "sagactl.cli.reconcile",
    "dlq": "sagactl.cli.dlq",
    "migrate": "sagactl.cli.migrate",
    "stock": "sagactl.cli.stock",
    "provider": "sagactl.cli.provider",
    "provision": "sagactl.cli.provision",
    "seed": "sagactl.cli.stock",
    "token": "sagactl.cli.token",
    "clean": "sagactl.cli.clean",
}
"""Where each command is, under its own name."""


class LazyGroup(click.Group):
    """Imports a command's module when the command is named."""

    def main(self, *args: Any, **kwargs: Any) -> Any:
        open_standard_streams()
        return super().main(*args, **kwargs)

    def list_commands(self, _ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, _ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command = getattr(importlib.import_module(COMMANDS[cmd_name]), cmd_name)
        return command if isinstance(command, click.Command) else None


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Run, provision and inspect the suite."""


if __name__ == "__main__":
    main(prog_name="sagactl")
