"""Nothing that others see of the suite has changed since it was recorded."""

import difflib
import re
from collections.abc import Mapping

import pytest

from contract.tickets import PUBLISHED_BY
from contract.topology import TOPOLOGY
from tests.golden.record import FILES, record_all

NAMES = sorted(str(file.relative_to(FILES)) for file in FILES.rglob("*") if file.is_file())
AT_LEAST = {"openapi.txt"}
"""Files that may gain lines, but not lose any."""


@pytest.fixture(scope="module")
def seen() -> Mapping[str, str]:
    return record_all()


@pytest.mark.parametrize("name", NAMES)
def test_recordings_are_unchanged(name: str, seen: Mapping[str, str]):
    recorded, now = (FILES / name).read_text().splitlines(), of_the_shop(seen[name]).splitlines()
    if name in AT_LEAST:
        now = [line for line in now if line in set(recorded)]

    changes = difflib.unified_diff(recorded, now, "recorded", "now", n=3, lineterm="")

    assert not (found := "\n".join(changes)), f"{name}\n{found}"


def of_the_shop(text: str) -> str:
    """Return `text` without what lists further services, which were added since: they may come and go."""
    for name in TOPOLOGY.names:
        if name not in PUBLISHED_BY:
            text = re.sub(rf',\s*"{name}": \{{[^}}]*\}}|, {name}\b', "", text)
    return text


def test_every_file_is_recorded(seen: Mapping[str, str]):
    assert sorted(seen) == NAMES
