"""Where code belongs: the tests of kit and client to their distributions; and how long a file may be."""

import ast
import subprocess
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
AROUND = {"bench", "contract", "deploy", "docs", "kit", "rpc", "sagactl", "services"}


def imported(file: Path) -> Iterator[str]:
    """Yield the full name of each module, and of each name in one, that a file imports."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def is_elsewhere(distribution: str, name: str) -> bool:
    """Whether a module that a test imports is outside of its distribution."""
    top, *rest = name.split(".")
    if top != "tests":
        return top in AROUND or (top == "sagakit" and distribution == "client")
    path = ROOT / distribution / "tests" / "/".join(rest)
    return not (
        path.is_dir() or path.with_suffix(".py").is_file() or path.parent.with_suffix(".py").is_file()
    )


@pytest.mark.parametrize("distribution", ["kit", "client"])
def test_tests_import_nothing_from_around_their_distribution(distribution: str):
    files = sorted((ROOT / distribution / "tests").rglob("*.py"))
    names = {file: list(imported(file)) for file in files}

    assert sum(name.startswith("tests.") for found in names.values() for name in found) >= 2
    assert [
        (file.name, name)
        for file, found in names.items()
        for name in found
        if is_elsewhere(distribution, name)
    ] == []


@pytest.mark.parametrize(
    "name", ["contract.topology.TOPOLOGY", "tests.support.suite.Suite", "kit.tests.unit"]
)
def test_what_is_around_a_distribution_is_found(name: str):
    assert find_spec(name.split(".", maxsplit=1)[0])
    assert is_elsewhere("kit", name)


MAX_LINES, MAX_FUNCTION_LINES = 300, 40
GENERATED = ("rpc/", "tests/compatibility/0")


def too_long(name: str, source: str) -> Iterator[str]:
    """Yield the file, and each of its functions, that is longer than it may be."""
    if source.count("\n") > MAX_LINES:
        yield name
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            if node.end_lineno - node.lineno >= MAX_FUNCTION_LINES:
                yield f"{name}: {node.name}"


def test_no_file_and_no_function_is_too_long():
    listed = subprocess.run(["git", "ls-files", "*.py"], cwd=ROOT, capture_output=True, text=True, check=True)
    files = [name for name in listed.stdout.splitlines() if not name.startswith(GENERATED)]

    assert len(files) > 100
    assert [each for name in files for each in too_long(name, (ROOT / name).read_text())] == []


def test_what_is_too_long_is_found():
    function = "def long():\n" + "    pass\n" * MAX_FUNCTION_LINES

    assert list(too_long("a.py", function)) == ["a.py: long"]
    assert list(too_long("a.py", "\n" * (MAX_LINES + 1))) == ["a.py"]
