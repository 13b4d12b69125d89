"""Modules of a service that no import contract names are its domain: pure rules, however they are called."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import grimp
import pytest

from contract.topology import TOPOLOGY

ROOT = Path(__file__).parents[2]
CONTRACTS = {
    each["name"].partition(":")[0]: each
    for each in tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
}
*_OUTER, DOMAIN = CONTRACTS["Layers of a service"]["layers"]
OUTER = set(re.findall(r"\w+", " ".join(_OUTER)))
"""The modules of a service that are not its domain, by their names."""
VENDORS = set(
    CONTRACTS["Domain, use cases and the core of the kit import no vendor package"]["forbidden_modules"]
)


@pytest.fixture(scope="module")
def graph() -> grimp.ImportGraph:
    return grimp.build_graph("services", "contract", "rpc", "sagakit", include_external_packages=True)


def impure_imports(graph: grimp.ImportGraph, service: str) -> Iterator[str]:
    """Yield what the domain of a service must not import."""
    for module in graph.find_children(service):
        if module.rpartition(".")[2] in OUTER:
            continue
        for imported in sorted(graph.find_modules_directly_imported_by(module)):
            parent, _, name = imported.rpartition(".")
            if (
                (parent == service and name in OUTER)
                or imported.partition(".")[0] in VENDORS
                or imported in VENDORS
            ):
                yield f"{module} imports {imported}"


@pytest.mark.parametrize("package", [service.package for service in TOPOLOGY.services])
def test_domain_of_a_service_is_pure(package: str, graph: grimp.ImportGraph):
    assert list(impure_imports(graph, f"services.{package}")) == []


@pytest.mark.parametrize("imported", ["services.stock.storage", "google", "rpc.stock_pb2"])
def test_impure_domain_is_found(imported: str):
    graph = grimp.ImportGraph()
    graph.add_module("services.stock")
    for module in ("services.stock.prices", imported):
        graph.add_module(module)
    graph.add_import(importer="services.stock.prices", imported=imported)

    assert [*impure_imports(graph, "services.stock")] == [f"services.stock.prices imports {imported}"]
