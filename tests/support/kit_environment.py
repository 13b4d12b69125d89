"""An environment as a stranger makes it: the kit's wheel, and nothing else of this repository."""

import re
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).parents[2]
PIP = ("pip", "--quiet", "--disable-pip-version-check")


def make_environment(directory: Path, extras: str, *packages: str) -> Path:
    """Install the kit's wheel with its extras, and packages, into a new environment; return its Python."""
    build = ("wheel", "--no-deps", "--no-build-isolation", "-w", directory, ROOT / "kit")
    subprocess.run((sys.executable, "-m", *PIP, *build), check=True)
    venv.create(directory / "venv", with_pip=True)
    python = directory / "venv/bin/python"
    install(python, extras, *packages)
    return python


def install(python: Path, extras: str, *packages: str) -> None:
    """Install the wheel with its extras, and packages, into an environment of `make_environment`."""
    directory = python.parents[2]
    (wheel,) = directory.glob("sagakit-*.whl")
    arguments = (
        "install",
        "-c",
        constraints(directory),
        f"{wheel}[{extras}]" if extras else wheel,
        *packages,
    )
    subprocess.run((python, "-m", *PIP, *arguments), check=True)


def constraints(directory: Path) -> Path:
    """The pinned versions as constraints, which take no hashes."""
    texts = [(ROOT / name).read_text() for name in ("requirements.txt", "requirements-dev.txt")]
    pins = re.findall(r"^([\w.-]+)(?:\[[\w,]+\])?(==[\w.]+)", "\n".join(texts), re.MULTILINE)
    constraints = directory / "constraints.txt"
    constraints.write_text("\n".join(map("".join, pins)))
    return constraints
