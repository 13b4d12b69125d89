"""A fifth service is its folder, its proto and its declaration; generators write the rest."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SERVICE = ROOT / "tests/fifth_service"
"""Files that are laid over a copy of the checkout."""
DECLARATION = """\
        ServiceDeclaration(
            "loyalty-points",
            topic="com.example.loyalty-points",
            subscribes_to=("purchase",),
            grpc_services=("com.example.service.loyalty_points.LoyaltyPoints",),
            environment={"POINTS_PER_UNIT": "3"},
        ),
"""
BY_HAND = {
    "contract/topology.py",
    "proto/loyalty_points.proto",
    "services/gateway/routes/loyalty_points.py",
    "tests/saga/test_loyalty_points.py",
}
"""Files written by hand outside of the service's folder; the route and the test are optional."""
GENERATED = {
    "rpc/loyalty_points_pb2.py",
    "rpc/loyalty_points_pb2.pyi",
    "rpc/loyalty_points_pb2_grpc.py",
    "rpc/loyalty_points_pb2_grpc.pyi",
    "compose.yaml",
    "deploy/services.txt",
    "deploy/k8s/base/kustomization.yaml",
    "deploy/k8s/base/loyalty-points/kustomization.yaml",
    "deploy/k8s/base/gateway/kustomization.yaml",
    "deploy/k8s/base/gateway/networkpolicy.yaml",
    "deploy/k8s/overlays/gke/backlog/loyalty-points.yaml",
    *(f"deploy/k8s/overlays/gke/{name}.yaml" for name in ("kustomization", "monitoring", "network", "rules")),
    *(f"deploy/k8s/overlays/local/{name}.yaml" for name in ("kustomization", "network")),
    "deploy/k8s/components/observability/network.yaml",
    "deploy/monitoring/prometheus.yaml",
    "deploy/monitoring/rules.yaml",
    "docs/architecture.md",
    "docs/configuration.md",
    "docs/reference/asyncapi.json",
    "docs/reference/events.md",
}
CHECKS = (
    "tests/unit/test_architecture.py",
    "tests/unit/test_configuration.py",
    "tests/unit/test_generated_files.py",
    "tests/unit/test_sagactl_plan.py",
    "tests/unit/test_sagactl_provision.py",
    "tests/service/test_gateway_settings.py",
    "tests/service/test_service_control.py",
    "tests/deploy/test_compose.py",
    "tests/deploy/test_manifests.py::test_manifests_have_no_fault",
    "tests/deploy/test_gcp_plan.py",
    "tests/deploy/test_scripts.py::test_every_image_is_built_pushed_or_listed_by_the_available_tool",
    "tests/deploy/test_scripts.py::test_images_have_registry_and_tag",
    "tests/saga/test_loyalty_points.py",
)
_LEFT_OUT = shutil.ignore_patterns(
    ".git", ".venv", ".run", "build", "__pycache__", ".*_cache", "fifth_service", "node_modules"
)

pytestmark = pytest.mark.timeout(400)


class Copy:
    """A copy of the checkout with a fifth service, and the tools of this environment."""

    def __init__(self, root: Path) -> None:
        self.root = root
        shutil.copytree(ROOT, root, ignore=_LEFT_OUT)
        (root / ".venv").symlink_to(sys.prefix)
        self.before = self._files()
        shutil.copytree(SERVICE, root, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
        declarations = root / "contract/topology.py"
        before, end, after = declarations.read_text().partition("    ),\n    dead_letter_topic")
        declarations.write_text(before + DECLARATION + end + after)
        self.make("proto", "generate")
        self.after = self._files()

    def _files(self) -> dict[str, str]:
        files = (path for path in self.root.rglob("*") if path.is_file() and not path.is_symlink())
        own = (path for path in files if not {".venv", "__pycache__"} & set(path.parts))
        return {path.relative_to(self.root).as_posix(): path.read_text(errors="replace") for path in own}

    def make(self, *targets: str) -> None:
        """Make targets, without installing anything."""
        installed = [f"--old-file=.venv/{each}" for each in (".dev", ".run")]
        self.run("make", "--silent", *installed, *targets)

    def run(self, *argv: str) -> None:
        """Run a command; fail the test with its output if it fails."""
        done = self.call(*argv)
        assert done.returncode == 0, done.stdout[-5_000:] + done.stderr[-5_000:]

    def call(self, *argv: str) -> subprocess.CompletedProcess[str]:
        path = os.pathsep.join(str(self.root / each) for each in (".", "kit", "client"))
        environ = {**os.environ, "PYTHONPATH": path}
        return subprocess.run(
            argv, cwd=self.root, env=environ, capture_output=True, text=True, check=False, timeout=300
        )


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Copy:
    return Copy(tmp_path_factory.mktemp("five") / "suite")


def test_nothing_else_is_touched(copy: Copy):
    changed = {name for name in copy.after if copy.after[name] != copy.before.get(name)}

    outside = {name for name in changed if not name.startswith("services/loyalty_points/")}
    assert outside == BY_HAND | GENERATED
    assert copy.before.keys() <= copy.after.keys()


def test_lint_import_contracts_and_protos_accept_it(copy: Copy):
    for arguments in (("check",), ("format", "--check")):
        copy.run(".venv/bin/ruff", *arguments, "services", "contract", "deploy", "tests/saga")
    copy.make("imports", "proto-check")


def test_service_that_imports_another_breaks_a_contract(copy: Copy):
    module = copy.root / "services/loyalty_points/storage.py"
    before = module.read_text()
    module.write_text(f"{before}\nfrom services.stock.storage import ITEM\n")

    broken = copy.call(".venv/bin/lint-imports", "--no-cache")
    module.write_text(before)

    assert broken.returncode == 1
    assert "Services never import each other BROKEN" in broken.stdout


def test_it_is_provisioned_deployed_and_called(copy: Copy):
    copy.run(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "not emulators", *CHECKS)


def test_simulation_of_five_services_balances(copy: Copy):
    copy.run(sys.executable, "-m", "tests.simulation", "--sagas", "100")
