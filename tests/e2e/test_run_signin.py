"""`sagactl up --sign-in`: the suite as a developer runs it, with tokens of the development key."""

import json
import stat
import subprocess
import sys

import httpx
import pytest

from tests.support.local_suite import WAIT_SECONDS, embedded, environment

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")


def test_a_suite_that_has_to_be_signed_in_to(tmp_path):
    with embedded(tmp_path, "--sign-in") as local:
        local.until_said("Stop: Ctrl-C")
        walk = "\n".join(line for line in local.output.splitlines() if line.startswith("  "))
        shell = {"env": environment({"no_proxy": "127.0.0.1"}), "capture_output": True, "text": True}

        walked = subprocess.run(["bash"], input=walk, timeout=WAIT_SECONDS, check=True, **shell)
        demo = local.sagactl("demo")
        changed = local.sagactl("stock", "set", "blue", "--stock", "200000")
        token = local.sagactl("token", "alice").stdout.strip()
        with httpx.Client(base_url=local.facts["gateway"], trust_env=False) as client:
            without = client.get("/v1/items")
            with_it = client.get("/v1/items", headers={"Authorization": f"Bearer {token}"})

    answers = [json.loads(line) for line in walked.stdout.splitlines() if line]
    assert answers[-1]["order_ticket"]["status"] == "approved"
    assert demo.returncode == 0, demo.stderr
    assert "200000 pieces" in changed.stdout
    assert (without.status_code, with_it.status_code) == (401, 200)
    key = local.run_dir / "development-key.pem"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600


def test_an_open_suite_says_so(tmp_path):
    with embedded(tmp_path) as local:
        local.until_said("authentication disabled", times=5)
