"""A setup step: a check whether a resource exists, and the command to run if it does not."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

NUMBER = "$PROJECT_NUMBER"
"""Placeholder of the project's number, which is looked up; a shell variable in printed scripts."""

_HARMLESS = re.compile(r"[A-Za-z0-9_@%+=:,./-]+")

Argv = tuple[str, ...]


def gcloud(*words: str) -> Argv:
    return ("gcloud", *words, "--quiet")


@dataclass(frozen=True, slots=True)
class Step:
    """One idempotent step."""

    title: str
    run: Argv
    """Creates the resource, or removes it (teardown)."""
    check: Argv | None = None
    """Exits with 0 if the resource exists; None: `run` itself is idempotent."""
    update: Argv | None = None
    """Updates an existing resource."""
    if_exists: bool = False
    """Call `run` if the resource exists, rather than if it does not."""

    def as_shell(self) -> str:
        """Return the step as one line of shell."""
        run = quoted(self.run)
        if self.check is None:
            return run
        check = f"{quoted(self.check)} >/dev/null 2>&1"
        if self.update is not None:
            return f"if {check}; then {quoted(self.update)}; else {run}; fi"
        return f"! {check} || {run}" if self.if_exists else f"{check} || {run}"

    def commands(self) -> list[Argv]:
        """Return every command that the step may run."""
        return [argv for argv in (self.check, self.run, self.update) if argv is not None]


def quoted(argv: Sequence[str]) -> str:
    """Quote for a shell, leaving the project's number as a variable."""
    return " ".join(_quoted(word) for word in argv)


def _quoted(word: str) -> str:
    if _HARMLESS.fullmatch(word):
        return word
    if NUMBER in word:
        return '"{}"'.format(word.replace('"', '\\"'))
    return "'{}'".format(word.replace("'", "'\\''"))
