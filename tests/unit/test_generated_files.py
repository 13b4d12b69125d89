"""Manifests, compose.yaml and alarms are committed as `make generate` writes them."""

from pathlib import Path

from deploy import generate

ROOT = Path(__file__).parents[2]


def test_committed_files_are_those_of_the_declared_services():
    written = generate.generated(ROOT)

    changed = [name for name, text in written.items() if (ROOT / name).read_text() != text]
    assert [*changed, *generate.outdated(ROOT)] == [], "run `make generate`"
