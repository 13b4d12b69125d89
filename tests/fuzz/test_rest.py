"""The gateway against its OpenAPI document: no 5xx, and only documented answers."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.local_suite import LocalSuite, ready_suite

pytestmark = pytest.mark.timeout(300)

CONFIG = Path(__file__).with_name("schemathesis.toml")
ST = Path(sys.executable).with_name("st")
CASES = re.compile(r"(\d+) generated, (\d+) passed")


@pytest.mark.parametrize("arguments", [(), ("--auth",)], ids=["open", "authenticated"])
def test_every_answer_is_documented(tmp_path: Path, arguments: tuple[str, ...]):
    examples = int(os.environ.get("FUZZ_EXAMPLES", "15"))

    with ready_suite(tmp_path, *arguments) as local:
        document = f"{local.facts['gateway']}/openapi.json"
        headers = ("-H", f"Authorization: Bearer {token_of(local)}") if arguments else ()
        fuzzed = fuzz(document, tmp_path, "-n", str(examples), *headers)
        audit = local.sagactl("audit", "--wait", "30")

    assert fuzzed.returncode == 0, fuzzed.stdout
    generated, passed = map(int, CASES.search(fuzzed.stdout).groups())
    assert generated == passed >= 10 * examples, "operations without parameters have few cases"
    assert audit.returncode == 0, audit.stdout


def token_of(local: LocalSuite) -> str:
    return local.sagactl("token", "fuzzer").stdout.strip()


def fuzz(document: str, directory: Path, *options: str) -> "subprocess.CompletedProcess[str]":
    """Run schemathesis with all checks and phases; return the completed process."""
    seed = os.environ.get("FUZZ_SEED", "1")
    return subprocess.run(
        [
            ST,
            "--config-file",
            CONFIG,
            "run",
            document,
            "--checks",
            "all",
            "--seed",
            seed,
            "--no-color",
            *options,
        ],
        cwd=directory,
        capture_output=True,
        text=True,
        check=False,
    )
