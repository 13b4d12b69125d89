"""Inputs of a build are named by their contents, not by a name that can be moved."""

import re

from tests.support.manifests import ROOT


def test_actions_are_pinned_by_commit_with_their_version():
    used = [
        line.strip()
        for workflow in (ROOT / ".github/workflows").glob("*.yml")
        for line in workflow.read_text().splitlines()
        if "uses:" in line
    ]

    assert len(used) >= 5
    assert [line for line in used if not re.search(r"uses: [\w./-]+@[0-9a-f]{40} # v\d+\.\d+", line)] == []


def test_base_image_is_pinned_by_digest():
    base = re.search(r"^ARG BASE=(\S+)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)

    assert base
    assert re.fullmatch(r"[\w./-]+:[\w.-]+@sha256:[0-9a-f]{64}", base[1])


def test_base_image_has_the_newest_supported_python():
    version = re.search(r"^PYTHON_NEWEST \?= python(\S+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)

    assert version
    assert f"/python:{version[1]}." in (ROOT / "Dockerfile").read_text()
