"""Every public name of the kit is documented where it is defined; the reference is made from that."""

import ast
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from sagakit import __all__ as names

KIT = Path(__file__).parents[2]
PACKAGES = [name for name in ("sagakit", "sagakit.testing", "sagakit.testing.contracts") if find_spec(name)]


def source(module: str) -> Path:
    path = KIT.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def parsed(module: str) -> ast.Module:
    return ast.parse(source(module).read_text())


def public_names(module: str) -> list[str]:
    """Return the names in the `__all__` of a package."""
    for node in parsed(module).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return ast.literal_eval(node.value)
    return []


def defined_in(package: str, name: str) -> tuple[str, str]:
    """Return the module that defines a public name, and its name there."""
    for node in parsed(package).body:
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                if (alias.asname or alias.name) == name:
                    if find_spec(node.module) and source(f"{node.module}.{alias.name}").is_file():
                        return f"{node.module}.{alias.name}", ""
                    return defined_in(node.module, alias.name)
    return package, name


def protocol_methods() -> set[str]:
    """Return the documented methods of the protocols: a class that implements one need not repeat it."""
    return {
        method.name
        for module in ("bus", "tables")
        for each in parsed(f"sagakit.{module}").body
        if isinstance(each, ast.ClassDef) and "Protocol" in [ast.unparse(base) for base in each.bases]
        for method in each.body
        if isinstance(method, ast.FunctionDef | ast.AsyncFunctionDef) and ast.get_docstring(method)
    }


def documented(body: list[ast.stmt], name: str) -> Iterator[tuple[str, bool]]:
    """Yield a name and the public methods of a class, except tests, and whether each has a docstring."""
    following = [*body[1:], None]
    for node, after in zip(body, following, strict=True):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and node.name == name:
            yield name, ast.get_docstring(node) is not None
            for method in node.body if isinstance(node, ast.ClassDef) else ():
                function = isinstance(method, ast.FunctionDef | ast.AsyncFunctionDef)
                if function and not method.name.startswith(("_", "test_")):
                    yield f"{name}.{method.name}", ast.get_docstring(method) is not None
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        if [ast.unparse(target) for target in targets if target] == [name]:
            text = isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
            yield name, text and isinstance(after.value.value, str)


@pytest.mark.parametrize("package", PACKAGES)
def test_public_names_are_documented(package: str):
    undocumented, found, inherited = [], set(), protocol_methods()
    for name in public_names(package):
        module, inside = defined_in(package, name)
        tree = parsed(module)
        members = documented(tree.body, inside) if inside else [(name, ast.get_docstring(tree) is not None)]
        for member, has_text in members:
            found.add(name)
            if not has_text and member.partition(".")[2] not in inherited:
                undocumented.append(f"{module}: {member}")

    assert found == set(public_names(package))
    assert undocumented == []


def test_every_name_of_the_kit_is_read():
    assert public_names("sagakit") == names
