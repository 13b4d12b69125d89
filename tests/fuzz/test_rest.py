"""The gateway against its own OpenAPI document: no 5xx, and nothing that the document does not say."""

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.support.local_suite import embedded

CONFIG = Path(__file__).with_name("schemathesis.toml")
CASES = re.compile(r"(\d+) generated, (\d+) passed")


def test_every_answer_is_as_documented(tmp_path: Path):
    examples = int(os.environ.get("FUZZ_EXAMPLES", "15"))

    with embedded(tmp_path) as local:
        fuzzed = fuzz(f"{local.facts['gateway']}/openapi.json", examples, tmp_path)
        audit = local.sagactl("audit", "--wait", "30")

    assert fuzzed.returncode == 0, fuzzed.stdout
    generated, passed = map(int, CASES.search(fuzzed.stdout).groups())
    assert generated == passed >= 28 * examples
    assert audit.returncode == 0, audit.stdout


def fuzz(document: str, examples: int, directory: Path) -> "subprocess.CompletedProcess[str]":
    """What schemathesis says after that many examples an operation, in each of its phases."""
    options = (
        "--checks",
        "all",
        "-n",
        str(examples),
        "--seed",
        os.environ.get("FUZZ_SEED", "1"),
        "--no-color",
    )
    return subprocess.run(
        [Path(sys.executable).with_name("st"), "--config-file", CONFIG, "run", document, *options],
        cwd=directory,
        capture_output=True,
        text=True,
        check=False,
    )
