"""The pictures of the documentation: they are there, they are small, and the script makes them."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from PIL import Image

from tests.screenshots.page import RECORDING, STILLS
from tests.screenshots.terminal import WATCH

pytestmark = pytest.mark.timeout(300)

ROOT = Path(__file__).parents[2]
IMAGES = ROOT / "docs/images"
PICTURES = {*STILLS, RECORDING, WATCH}
MADE = ROOT / "build/ui/documentation"
"""Where CI keeps them."""


@pytest.fixture(scope="module")
def made():
    """The directory in which the script has just made all of them."""
    if shutil.which("chromium") is None:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)("there is no chromium on the PATH")
    # In a process of its own: the browser's event loop would be in the way of other tests.
    command = [sys.executable, "-m", "tests.screenshots", str(MADE)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    return MADE


def test_the_readme_shows_each_picture_and_none_that_is_not_there():
    shown = set(re.findall(r"docs/images/([\w.-]+)", (ROOT / "README.md").read_text()))

    assert shown == PICTURES
    assert {each.name for each in IMAGES.iterdir()} == PICTURES
    assert all((IMAGES / name).stat().st_size < 2_000_000 for name in PICTURES)


@pytest.mark.parametrize("name", STILLS)
def test_the_script_makes_pictures_as_large_as_those_that_are_kept(made, name):
    with Image.open(made / name) as fresh, Image.open(IMAGES / name) as kept:
        assert fresh.size == kept.size
        assert len(fresh.convert("RGB").getcolors(1 << 24)) > 100, "something is on it"


def test_the_recording_moves_for_as_long_as_somebody_looks_and_is_small(made):
    for directory in (made, IMAGES):
        with Image.open(directory / RECORDING) as recording:
            assert recording.n_frames > 20
            seconds = 0.0
            for frame in range(recording.n_frames):
                recording.seek(frame)
                recording.load()
                seconds += recording.info["duration"] / 1000
        assert 8 < seconds < 40
        assert (directory / RECORDING).stat().st_size < 2_000_000


def test_the_terminal_shows_what_waits_and_needs_nothing_from_elsewhere(made):
    for directory in (made, IMAGES):
        drawn = (directory / WATCH).read_text()
        text = "".join(ET.fromstring(drawn).itertext()).replace("\xa0", " ")
        assert "payment stopped" in text
        assert re.search(r"reserved *1", text)
        assert "url(http" not in drawn
