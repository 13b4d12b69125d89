"""Finds the project that `sagactl` acts on."""

import importlib
import os
import sys
import tomllib
from collections.abc import Mapping
from dataclasses import replace
from importlib.metadata import entry_points
from pathlib import Path
from typing import TypeVar

from sagakit.bus import SubscriptionSpec
from sagakit.ctl.errors import CommandError
from sagakit.ctl.project import Project
from sagakit.topology import Topology

T = TypeVar("T")

VARIABLE = "SAGA_PROJECT"
ENTRY_POINTS = "sagactl"
NO_PROJECT = (
    f"no project: name one by {VARIABLE}=module:NAME, or by [tool.sagactl] project in pyproject.toml; "
    "`sagactl new project` makes one"
)


def load_project(reference: str = "", environ: Mapping[str, str] = os.environ) -> Project | None:
    """Return the project that is named, by `module:NAME`, or found; None if there is none.

    It is the one that SAGA_PROJECT names; else that of the nearest pyproject.toml, upwards from here, with a
    table [tool.sagactl], whose folder is added to the import path; else the first that is installed. Raises
    CommandError if it cannot be imported.
    """
    root = None if reference or environ.get(VARIABLE) else root_of(Path.cwd())
    if root is not None and str(root) not in sys.path:
        sys.path.insert(0, str(root))
    found_here = str(_table(root)["project"]) if root else _installed()
    reference = reference or environ.get(VARIABLE, "") or found_here
    if not reference:
        return None
    return replace(load_object(reference, Project), reference=reference, root=root)


def load_object(reference: str, kind: type[T]) -> T:
    """Return the object that `module:NAME` names. Raises CommandError if it is none of that kind."""
    module, _, name = reference.partition(":")
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise CommandError(f"cannot load the {kind.__name__.lower()} {reference}: {error}") from error
    if not isinstance(found, kind):
        raise CommandError(f"{reference} is no {kind.__module__}.{kind.__name__}")
    return found


def provisioned(topology: Topology) -> list[SubscriptionSpec]:
    """Return the subscriptions of a topology, with what their services ignore.

    Raises CommandError if what a declaration names cannot be loaded.
    """
    declared = {service.name: service.ignores for service in topology.services if service.ignores}
    return topology.subscription_specs({name: load_object(each, dict) for name, each in declared.items()})


def root_of(folder: Path) -> Path | None:
    """Return the nearest folder, upwards from `folder`, whose pyproject.toml names a project of sagactl."""
    return next((each for each in (folder, *folder.parents) if "project" in _table(each)), None)


def _table(folder: Path) -> Mapping[str, object]:
    try:
        found = tomllib.loads((folder / "pyproject.toml").read_text()).get("tool", {}).get("sagactl", {})
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _installed() -> str:
    return next((each.value for each in entry_points(group=ENTRY_POINTS)), "")
