"""The linters of images and manifests have nothing to say."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.manifests import K8S, OVERLAYS, ROOT, kustomize

CHECKOV = ROOT / ".venv" / "checkov" / "bin" / "checkov"
"""In an environment of its own: it pins a hundred packages (`make .venv/.checkov`)."""


def test_hadolint_finds_nothing_in_the_dockerfile():
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


def test_checkov_finds_nothing_that_is_not_skipped_with_a_reason(checkov: Path, tmp_path: Path):
    for overlay in OVERLAYS:
        (tmp_path / f"{overlay}.yaml").write_text(kustomize(K8S / "overlays" / overlay))

    done = run_checkov(checkov, *tmp_path.iterdir())

    assert done.returncode == 0, done.stdout


def test_checkov_is_run_so_that_it_finds_something(checkov: Path, tmp_path: Path):
    rendered = kustomize(K8S / "overlays" / "gke")
    faulty = rendered.replace("allowPrivilegeEscalation: false", "allowPrivilegeEscalation: true", 1)
    (tmp_path / "faulty.yaml").write_text(faulty)

    done = run_checkov(checkov, tmp_path / "faulty.yaml")

    assert done.returncode == 1
    assert "CKV_K8S_20" in done.stdout


def test_the_overlays_are_what_older_and_newer_kubectls_make_of_them():
    """Google's SDK brings several; elsewhere there is one, and nothing to compare."""
    kubectls = sorted(
        Path(shutil.which("gcloud") or sys.executable).resolve().parent.glob("kubectl.1.[0-9]*")
    )
    for overlay in OVERLAYS:
        expected = kustomize(K8S / "overlays" / overlay)
        for kubectl in kubectls:
            argv = [kubectl, "kustomize", K8S / "overlays" / overlay]
            assert subprocess.run(argv, capture_output=True, text=True, check=True).stdout == expected
