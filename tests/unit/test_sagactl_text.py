"""Output: coloured at terminals that want it only, and printed where it is escaped."""

import ast
import os
import pty
from pathlib import Path

import click
import pytest

from contract.tickets import PUBLISHED_BY
from sagactl.project import PROJECT
from sagakit.ctl import text
from sagakit.ctl.text import Highlighter

ROOT = Path(__file__).parents[2]
LEVELS = ("debug", "info", "warning", "error")
LINE = "2026-01-02T03:04:05.678901Z [info     ] event applied      orderid=o-1 status=approved attempt=1"


@pytest.fixture
def terminal():
    master, slave = pty.openpty()
    yield slave
    os.close(master)
    os.close(slave)


def test_colours_are_used_at_terminals_only(terminal):
    reader, writer = os.pipe()

    assert text.colours_wanted(terminal, {})
    assert text.colours_wanted(terminal, {"NO_COLOR": "", "TERM": "xterm"})
    assert not text.colours_wanted(writer, {})
    for unwanted in ({"NO_COLOR": "1"}, {"NO_COLOR": "0"}, {"TERM": "dumb"}):
        assert not text.colours_wanted(terminal, unwanted)
    os.close(reader)
    os.close(writer)


def test_replicas_have_the_colour_of_their_service():
    assert {text.colour_of(name, PROJECT.colours) for name in ("stock", "stock-1", "stock-16")} == {"yellow"}
    assert len({text.colour_of(name, PROJECT.colours) for name in PROJECT.programs}) == len(PROJECT.programs)
    assert text.colour_of("firestore", PROJECT.colours) is None
    assert text.colour_of("stock-history", PROJECT.colours) is None


def test_every_published_status_has_a_colour():
    assert PROJECT.status_colours.keys() >= set.union(*map(set, PUBLISHED_BY.values()))


def test_colours_do_not_change_the_text():
    coloured = Highlighter(PROJECT, enabled=True).line(LINE)

    assert click.unstyle(coloured) == LINE
    assert f"status={click.style('approved', fg='green')}" in coloured
    assert click.style("[info     ]", fg="green", bold=False) in coloured
    assert click.unstyle(Highlighter(PROJECT, enabled=True).program("stock", "stock | ")) == "stock | "


def test_each_level_has_its_own_colour():
    levels = [
        Highlighter(PROJECT, enabled=True).line(f"now [{level:<9}] event").split()[1] for level in LEVELS
    ]

    assert len({level.partition("[")[2].partition("m")[0] for level in levels}) == len(LEVELS)


def test_without_colours_nothing_changes():
    assert Highlighter(PROJECT, enabled=False).line(LINE) == LINE
    assert Highlighter(PROJECT, enabled=False).program("stock", "stock | ") == "stock | "


@pytest.mark.parametrize("line", ["", "  File x, line 3", '{"severity": "INFO"}', "[info] no time"])
def test_other_lines_are_not_changed(line):
    assert Highlighter(PROJECT, enabled=True).line(line) == line


def test_commands_print_with_echo_only():
    """Text that is printed without it is not escaped."""
    calls = [
        f"{file.relative_to(ROOT)}:{node.lineno}"
        for file in sorted([*(ROOT / "sagactl").rglob("*.py"), *(ROOT / "kit/sagakit/ctl").rglob("*.py")])
        if file.name != "text.py"
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Attribute | ast.Name)
        and ast.unparse(node) in {"click.echo", "click.secho", "sys.stdout.write", "print"}
    ]

    assert calls == []
