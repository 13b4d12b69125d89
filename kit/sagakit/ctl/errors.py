"""The error of a command that fails."""

import click

from sagakit.untrusted import escape


class CommandError(click.ClickException):
    """Ends the command: the message on standard error, exit status 1."""

    def __init__(self, message: str, log: str = "") -> None:
        """`message`: one line; `log`: lines to show below it, safe to print (see `local.logs`)."""
        super().__init__("\n".join(filter(None, (escape(message), log))))
