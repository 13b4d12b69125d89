"""Prints the reference of `sagactl`'s commands as a page: `python docs/site/commands.py`."""

from collections.abc import Iterator

import click

from sagactl.__main__ import main

INTRODUCTION = """\
# sagactl

Made from the commands' own help, `sagactl COMMAND --help`.
"""


def page() -> str:
    """Return the page."""
    context = click.Context(main, info_name="sagactl")
    return "\n".join([INTRODUCTION, *_section(main, context, level=2)])


def _section(command: click.Command, context: click.Context, level: int) -> Iterator[str]:
    if level > 2:
        yield f"{'#' * (level - 1)} {context.command_path}\n"
    yield f"{' '.join((command.help or '').split())}\n"
    yield f"```text\n{command.get_usage(context)}\n```\n"
    options = [each.get_help_record(context) for each in command.params]
    shown = [record for record in options if record is not None]
    if shown:
        yield "| option | meaning |\n|---|---|"
        for names, meaning in shown:
            yield f"| `{names}` | {' '.join(meaning.split()).replace('|', '&#124;')} |"
        yield ""
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            if found is not None and not found.hidden:
                yield from _section(found, click.Context(found, info_name=name, parent=context), level + 1)


if __name__ == "__main__":
    print(page())  # noqa: T201
