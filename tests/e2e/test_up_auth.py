"""`sagactl up --auth`: a suite with authentication, and tokens of the development key."""

import stat
import sys

import httpx
import pytest

from tests.e2e.test_up import run_printed_commands
from tests.support.local_suite import ready_suite

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


def test_suite_with_authentication_accepts_development_tokens(tmp_path):
    with ready_suite(tmp_path, "--auth") as local:
        local.until_printed("Stop: Ctrl-C")
        answers = run_printed_commands(local)
        demo = local.sagactl("demo")
        changed = local.sagactl("stock", "set", "blue", "--total-stock", "200000")
        token = local.sagactl("token", "alice").stdout.strip()
        with httpx.Client(base_url=local.facts["gateway"], trust_env=False) as client:
            without = client.get("/v1/items")
            with_it = client.get("/v1/items", headers={"Authorization": f"Bearer {token}"})

    assert answers[-1]["order_ticket"]["status"] == "approved"
    assert demo.returncode == 0, demo.stderr
    assert "200000 units" in changed.stdout
    assert (without.status_code, with_it.status_code) == (401, 200)
    key = local.run_dir / "development-key.pem"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
