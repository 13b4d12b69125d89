"""The rules file, and promtool to evaluate it."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
MONITORING = ROOT / "deploy/monitoring"
FILE = MONITORING / "rules.yaml"


def groups() -> list[dict[str, Any]]:
    return yaml.safe_load(FILE.read_text())["groups"]


def rules() -> list[dict[str, Any]]:
    return [rule for group in groups() for rule in group["rules"]]


def alerts() -> dict[str, dict[str, Any]]:
    return {rule["alert"]: rule for rule in rules() if "alert" in rule}


def promtool(*arguments: str) -> None:
    """Run promtool; fail the test with its output if it reports an error, or if it is not installed."""
    program = shutil.which("promtool")
    if program is None:
        pytest.fail("promtool is missing: it is in Debian's package prometheus; .ci/run gets it from there")
    done = subprocess.run([program, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
