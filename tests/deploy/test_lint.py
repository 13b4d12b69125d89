"""Linters of images and manifests report nothing."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.manifests import K8S, RENDERED, ROOT, kustomize, kustomize_overlay

CHECKOV = ROOT / ".venv" / "checkov" / "bin" / "checkov"
"""Installed separately, because it pins a hundred packages (`make .venv/.checkov`)."""


def test_hadolint_accepts_the_dockerfile():
    hadolint = Path(sys.executable).parent / "hadolint"

    done = subprocess.run([hadolint, ROOT / "Dockerfile"], capture_output=True, text=True, check=False)

    assert (done.returncode, done.stdout) == (0, "")


@pytest.fixture(scope="module")
def checkov() -> Path:
    if not CHECKOV.exists():
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)("`make manifests` installs checkov")
    return CHECKOV


def run_checkov(checkov: Path, *files: Path) -> subprocess.CompletedProcess[str]:
    argv = [checkov, "--config-file", K8S / "checkov.yaml", *(f"--file={file}" for file in files)]
    return subprocess.run(argv, capture_output=True, text=True, check=False)


def test_checkov_accepts_the_manifests(checkov: Path, tmp_path: Path):
    for overlay in RENDERED:
        (tmp_path / f"{overlay}.yaml").write_text(kustomize_overlay(overlay))

    done = run_checkov(checkov, *tmp_path.iterdir())

    assert done.returncode == 0, done.stdout


def test_checkov_finds_a_planted_fault(checkov: Path, tmp_path: Path):
    rendered = kustomize(K8S / "overlays" / "gke")
    faulty = rendered.replace("allowPrivilegeEscalation: false", "allowPrivilegeEscalation: true", 1)
    (tmp_path / "faulty.yaml").write_text(faulty)

    done = run_checkov(checkov, tmp_path / "faulty.yaml")

    assert done.returncode == 1
    assert "CKV_K8S_20" in done.stdout


def test_overlays_render_the_same_with_other_kubectl_versions():
    """Google's SDK includes several versions; without it there is nothing to compare."""
    kubectls = sorted(
        Path(shutil.which("gcloud") or sys.executable).resolve().parent.glob("kubectl.1.[0-9]*")
    )
    for overlay in RENDERED:
        expected = kustomize_overlay(overlay)
        for kubectl in kubectls:

            def render(directory: Path, kubectl: Path = kubectl) -> str:
                argv = [kubectl, "kustomize", directory]
                return subprocess.run(argv, capture_output=True, text=True, check=True).stdout

            assert kustomize_overlay(overlay, render) == expected
