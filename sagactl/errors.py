"""The one error of the tool's own: it cannot do what it was asked, for a reason that fits a line."""

import click


class CommandError(click.ClickException):
    """Ends the command: the message on standard error, exit status 1."""
