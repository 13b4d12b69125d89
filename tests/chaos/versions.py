"""Versions of the suite whose processes run side by side: this one, a released one, and a future one."""

import sys
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from sagakit.ctl.local.child import Program

RELEASES = Path(__file__).parents[1] / "compatibility"
"""A folder for each supported release, with its wheels."""


@dataclass(frozen=True, slots=True)
class Version:
    """How the programs of a version are run."""

    name: str
    prefix: tuple[str, ...] = ("-m",)
    """Arguments of Python before the module."""
    environ: Mapping[str, str] = field(default_factory=dict)

    def of(self, program: Program) -> Program:
        """Return the same program in this version."""
        module = program.argv[program.argv.index("-m") + 1 :][-1:]
        return replace(
            program, argv=(sys.executable, *self.prefix, *module), environ={**program.environ, **self.environ}
        )


CURRENT = Version("current", environ={"PYTHONPATH": ""})
FUTURE = Version("future", ("-m", "tests.chaos.future"), {"PYTHONPATH": ""})


def planted(bug: str) -> Version:
    """Return this version with one of the bugs in `tests.support.intolerance`."""
    return Version(f"current, {bug}", ("-m", "tests.chaos.planted", bug), {"PYTHONPATH": ""})


def version(name: str, directory: Path) -> Version:
    """Return a version by its name; the wheels of a release are unpacked in `directory`.

    Its dependencies are those of this version.
    """
    if name == FUTURE.name:
        return FUTURE
    wheels = sorted((RELEASES / name).glob("*.whl"))
    if not wheels:
        raise ValueError(f"there is no release {name} in {RELEASES}")
    library = directory / name
    for wheel in wheels:
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(library)
    # -P: the working directory, which has the current version, does not come first.
    return Version(name, ("-P", "-m"), {"PYTHONPATH": str(library)})
