"""Writes files from the templates that are shipped as package data."""

import re
from collections.abc import Iterator, Mapping
from importlib.resources.abc import Traversable
from pathlib import Path, PurePosixPath
from string import Template

from sagakit.ctl.errors import CommandError

SUFFIX = ".tmpl"
"""Ends the names of templates, which are no Python modules yet."""
MARK = "`sagactl new service`"
"""In the line of a file above which declarations are inserted."""
_HIDDEN = "dot-"
_CONDITION = re.compile(r" #if (?P<no>not )?(?P<name>\w+)$")

Names = Mapping[str, str]
"""The values of `$name` and others in a template; in the condition of a line, "" is false."""


def filled(templates: Traversable, names: Names) -> dict[Path, str]:
    """Return the files that the templates make, by their paths.

    In paths and texts `$name` is replaced for each of `names`; `dot-x` becomes `.x`. A line that ends with
    ` #if name` or ` #if not name` is left out unless that is so; a file of which nothing is left, as well.
    """
    texts = {_path(path, names): _fill(text, names) for path, text in _read(templates, PurePosixPath())}
    return {path: text for path, text in texts.items() if text}


def inserted(templates: Traversable, names: Names, folder: Path) -> dict[Path, str]:
    """Return the files below `folder` as they are with what the templates of the same paths insert.

    It is inserted above the line with MARK. Raises CommandError if there is none.
    """
    return {path: _insert(folder / path, text) for path, text in filled(templates, names).items()}


def write(folder: Path, new: Mapping[Path, str], changed: Mapping[Path, str]) -> None:
    """Write files, by their paths below `folder`.

    Raises CommandError if one of the new ones exists: then nothing is written.
    """
    existing = [str(folder / path) for path in new if (folder / path).exists()]
    if existing:
        raise CommandError(f"{existing[0]} exists: nothing was written")
    try:
        for path, text in {**new, **changed}.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text)
    except OSError as error:
        raise CommandError(f"cannot write {error.filename}: {error.strerror}") from error


def _insert(file: Path, text: str) -> str:
    try:
        lines = file.read_text().splitlines(keepends=True)
    except OSError as error:
        raise CommandError(f"cannot read {file}: {error.strerror}") from error
    number = next((number for number, line in enumerate(lines) if MARK in line), None)
    if number is None:
        raise CommandError(f"{file} has no line with {MARK}, above which it would be declared")
    indentation = lines[number][: len(lines[number]) - len(lines[number].lstrip())]
    new = [f"{indentation}{line}".rstrip() + "\n" for line in text.splitlines()]
    return "".join([*lines[:number], *new, *lines[number:]])


def _fill(text: str, names: Names) -> str:
    lines = []
    for line in text.splitlines():
        condition = _CONDITION.search(line)
        if condition is None:
            lines.append(line)
        elif bool(names[condition["name"]]) != bool(condition["no"]):
            lines.append(line[: condition.start()])
    return Template("".join(f"{line}\n" for line in lines)).safe_substitute(names)


def _read(folder: Traversable, path: PurePosixPath) -> Iterator[tuple[PurePosixPath, str]]:
    for each in sorted(folder.iterdir(), key=lambda each: each.name):
        if each.is_dir():
            yield from _read(each, path / each.name)
        elif each.name.endswith(SUFFIX):
            yield path / each.name, each.read_text(encoding="utf-8")


def _path(path: PurePosixPath, names: Names) -> Path:
    parts = [Template(part.removesuffix(SUFFIX)).substitute(names) for part in path.parts]
    return Path(*(f".{part.removeprefix(_HIDDEN)}" if part.startswith(_HIDDEN) else part for part in parts))
