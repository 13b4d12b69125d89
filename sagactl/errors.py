"""The error of a command that fails; its message is one line."""

import click


class CommandError(click.ClickException):
    """Ends the command: the message on standard error, exit status 1."""
