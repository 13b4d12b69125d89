"""The entry point: a group of commands, each imported when it is called, so that none waits for another."""

import importlib

import click

COMMANDS = {
    "up": "sagactl.commands.up",
    "demo": "sagactl.commands.demo",
    "ps": "sagactl.commands.processes",
    "stop": "sagactl.commands.processes",
    "start": "sagactl.commands.processes",
    "restart": "sagactl.commands.processes",
    "logs": "sagactl.commands.processes",
    "watch": "sagactl.commands.watch",
    "order": "sagactl.commands.order",
    "stuck": "sagactl.commands.stuck",
    "audit": "sagactl.commands.audit",
    "dlq": "sagactl.commands.dlq",
    "stock": "sagactl.commands.stock",
    "provider": "sagactl.commands.provider",
    "provision": "sagactl.commands.provision",
    "seed": "sagactl.commands.seed",
    "token": "sagactl.commands.token",
    "clean": "sagactl.commands.clean",
}
"""Where each command is, under its own name."""


class LazyGroup(click.Group):
    """Imports a command's module when the command is named."""

    def list_commands(self, _ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, _ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command = getattr(importlib.import_module(COMMANDS[cmd_name]), cmd_name)
        return command if isinstance(command, click.Command) else None


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Run the suite, set it up, look into it."""


if __name__ == "__main__":
    main(prog_name="sagactl")
