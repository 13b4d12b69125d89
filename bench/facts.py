"""Facts that a run's figures depend on: the machine, its load, the code and the emulators."""

import json
import os
import platform
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sagakit.version import __version__

EMULATORS = ("cloud-firestore-emulator", "pubsub-emulator")
BUSY = 0.5
"""Load average for each CPU beyond which a machine was busy before the run began."""


def facts(backend: str, scenarios: str) -> dict[str, Any]:
    """Return the facts about a run that is about to begin; the load average is that before it."""
    return {
        "version": __version__,
        "commit": _output("git", "describe", "--always", "--dirty"),
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "backend": backend,
        "scenarios": scenarios,
        "machine": {
            "cpus": os.cpu_count(),
            "model": _cpu_model(),
            "architecture": platform.machine(),
            "python": platform.python_version(),
            "emulators": _emulators() if backend == "emulators" else {},
        },
        "load_average": [round(each, 2) for each in os.getloadavg()],
    }


def was_busy(facts: dict[str, Any]) -> bool:
    """Whether the machine had other work when the run began: its figures are not comparable with others."""
    return float(facts["load_average"][0]) > BUSY * int(facts["machine"]["cpus"])


def describe(facts: dict[str, Any]) -> str:
    """Return the facts as one line."""
    machine = facts["machine"]
    return (
        f"{facts['version']} ({facts['commit']}), {facts['backend']}, {facts['scenarios']}: "
        f"{machine['cpus']} x {machine['model']}, Python {machine['python']}, "
        f"load average {facts['load_average'][0]}"
    )


def _cpu_model() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    models = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(models, "unknown")


def _emulators() -> dict[str, str]:
    versions = json.loads(_output("gcloud", "version", "--format=json") or "{}")
    return {name: versions[name] for name in EMULATORS if name in versions}


def _output(*command: str) -> str:
    """Return what the command prints; "" if it does not exist."""
    if shutil.which(command[0]) is None:
        return ""
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
