"""A step towards a project that has everything: what it looks for, and what it runs where that is missing."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

NUMBER = "$PROJECT_NUMBER"
"""Stands for the project's number, which only Google knows; a shell variable in what is printed."""

_HARMLESS = re.compile(r"[A-Za-z0-9_@%+=:,./-]+")

Argv = tuple[str, ...]


def gcloud(*words: str) -> Argv:
    return ("gcloud", *words, "--quiet")


@dataclass(frozen=True, slots=True)
class Step:
    """Safe to repeat."""

    title: str
    run: Argv
    """Makes it; removes it, where that is what is being done."""
    looks: Argv | None = None
    """Exits with 0 where it is there; None: `run` itself may be repeated."""
    otherwise: Argv | None = None
    """Brings what is there up to date."""
    if_there: bool = False
    """`run` where it is there, rather than where it is not."""

    def as_shell(self) -> str:
        """What it does, as a line that a shell would do."""
        run = quoted(self.run)
        if self.looks is None:
            return run
        look = f"{quoted(self.looks)} >/dev/null 2>&1"
        if self.otherwise is not None:
            return f"if {look}; then {quoted(self.otherwise)}; else {run}; fi"
        return f"! {look} || {run}" if self.if_there else f"{look} || {run}"

    def commands(self) -> list[Argv]:
        """Everything it may run."""
        return [argv for argv in (self.looks, self.run, self.otherwise) if argv is not None]


def quoted(argv: Sequence[str]) -> str:
    """As a shell needs it, with the project's number left to be filled in."""
    return " ".join(_quoted(word) for word in argv)


def _quoted(word: str) -> str:
    if _HARMLESS.fullmatch(word):
        return word
    if NUMBER in word:
        return '"{}"'.format(word.replace('"', '\\"'))
    return "'{}'".format(word.replace("'", "'\\''"))
