"""Writes files from the templates that are shipped as package data."""

from collections.abc import Iterator, Mapping
from importlib.resources.abc import Traversable
from pathlib import Path, PurePosixPath
from string import Template

from sagakit.ctl.errors import CommandError

SUFFIX = ".tmpl"
"""Ends the names of templates, which are no Python modules yet."""
_HIDDEN = "dot-"


def write(templates: Traversable, folder: Path, names: Mapping[str, str]) -> list[Path]:
    """Write every template below `templates` to `folder`, and return the files, relative to it.

    In paths and texts `$name` is replaced for each of `names`; `dot-x` becomes `.x`. Raises CommandError if
    one of the files exists: then nothing is written.
    """
    found = _read(templates, PurePosixPath())
    texts = {_path(path, names): Template(text).safe_substitute(names) for path, text in found}
    existing = [str(folder / path) for path in texts if (folder / path).exists()]
    if existing:
        raise CommandError(f"{existing[0]} exists: nothing was written")
    try:
        for path, text in texts.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text)
    except OSError as error:
        raise CommandError(f"cannot write {error.filename}: {error.strerror}") from error
    return list(texts)


def insert_above(file: Path, mark: str, text: str) -> None:
    """Insert lines above the line that contains `mark`, with its indentation.

    Raises CommandError if there is no such line: then nothing is changed.
    """
    try:
        lines = file.read_text().splitlines(keepends=True)
    except OSError as error:
        raise CommandError(f"cannot read {file}: {error.strerror}") from error
    number = next((number for number, line in enumerate(lines) if mark in line), None)
    if number is None:
        raise CommandError(f"{file} has no line with {mark!r}: add it where declarations belong")
    indentation = lines[number][: len(lines[number]) - len(lines[number].lstrip())]
    new = [f"{indentation}{line}\n" if line else "\n" for line in text.splitlines()]
    file.write_text("".join([*lines[:number], *new, *lines[number:]]))


def _read(folder: Traversable, path: PurePosixPath) -> Iterator[tuple[PurePosixPath, str]]:
    for each in sorted(folder.iterdir(), key=lambda each: each.name):
        if each.is_dir():
            yield from _read(each, path / each.name)
        elif each.name.endswith(SUFFIX):
            yield path / each.name, each.read_text(encoding="utf-8")


def _path(path: PurePosixPath, names: Mapping[str, str]) -> Path:
    parts = [Template(part).substitute(names) for part in path.parts]
    shown = [f".{part.removeprefix(_HIDDEN)}" if part.startswith(_HIDDEN) else part for part in parts]
    return Path(*shown[:-1], shown[-1].removesuffix(SUFFIX))
