"""Write the SBOM (CycloneDX) of a wheel: `python -m deploy.wheel_sbom OUTPUT PYPROJECT…`.

The wheel is that of the first project; its components are the pinned packages with which it was tested: those
that the projects need, with all extras.
"""

import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from sagakit.version import __version__

LOCK = "requirements.txt"
_PIN = re.compile(r"^(?P<name>[\w.-]+)(?:\[[\w,-]+\])?==.*\n(?:[ #].*\n?)*", re.MULTILINE)
_VIA = re.compile(r"^    #(?: via)? +(\S+)$", re.MULTILINE)


def needed_pins(lock: str, direct: Iterable[str]) -> str:
    """Return the pins of the packages `direct` and of what they need, by the lock's comments ("via").

    Raises ValueError if none of them is pinned.
    """
    pins = {match["name"]: match[0] for match in _PIN.finditer(lock)}
    needed_by = {name: set(_VIA.findall(pin)) for name, pin in pins.items()}
    found, before = set(direct) & pins.keys(), 0
    if not found:
        raise ValueError("none of the packages is pinned")
    while len(found) > before:
        before = len(found)
        found |= {name for name, users in needed_by.items() if users & found}
    return "".join(pin for name, pin in pins.items() if name in found)


def direct_requirements(pyproject: str) -> Iterator[str]:
    """Yield the names of the packages that a project needs, with all extras, by its pyproject.toml."""
    project = tomllib.loads(pyproject)["project"]
    extras = project.get("optional-dependencies", {}).values()
    for each in chain(project.get("dependencies", ()), *extras):
        yield canonicalize_name(Requirement(each).name)


def sbom(files: Sequence[str]) -> str:
    """Return the SBOM of the wheel of the first project file, with what all of them need."""
    direct = chain.from_iterable(direct_requirements(Path(file).read_text()) for file in files)
    pins = needed_pins(Path(LOCK).read_text(), direct)
    reading = ("-W", "ignore::UserWarning", "-m", "cyclonedx_py", "requirements", "-")
    argv = (sys.executable, *reading, f"--pyproject={files[0]}", "--output-reproducible", "--mc-type=library")
    done = subprocess.run(argv, input=pins, capture_output=True, text=True, check=True)
    document = json.loads(done.stdout)
    # It is dynamic, so that pyproject.toml does not have it.
    document["metadata"]["component"]["version"] = __version__
    return json.dumps(document, indent=2, sort_keys=True) + "\n"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(sbom(sys.argv[2:]))
