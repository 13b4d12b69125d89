"""The documentation's screenshots: complete, small, and reproducible by the script."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from PIL import Image

from tests.screenshots.terminal import DASHBOARD
from tests.screenshots.web_ui import RECORDING, STILLS

pytestmark = pytest.mark.timeout(300)

ROOT = Path(__file__).parents[2]
IMAGES = ROOT / "docs/images"
PICTURES = {*STILLS, RECORDING, DASHBOARD}
MADE = ROOT / "build/ui/documentation"
"""CI stores this directory."""


@pytest.fixture(scope="module")
def made():
    """Run the script; return the directory with its screenshots."""
    if shutil.which("chromium") is None:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)("no chromium on the PATH")
    # In a separate process, because the browser's event loop would disturb other tests.
    command = [sys.executable, "-m", "tests.screenshots", str(MADE)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    return MADE


def test_readme_shows_exactly_the_existing_screenshots():
    shown = set(re.findall(r"docs/images/([\w.-]+)", (ROOT / "README.md").read_text()))

    assert shown == PICTURES
    assert {each.name for each in IMAGES.iterdir()} == PICTURES
    assert all((IMAGES / name).stat().st_size < 2_000_000 for name in PICTURES)


@pytest.mark.parametrize("name", STILLS)
def test_new_screenshots_have_the_size_of_the_committed_ones(made, name):
    with Image.open(made / name) as fresh, Image.open(IMAGES / name) as kept:
        assert fresh.size == kept.size
        assert len(fresh.convert("RGB").getcolors(1 << 24)) > 100, "the picture is not empty"


def test_recording_is_animated_and_small(made):
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


def test_dashboard_picture_shows_a_waiting_order_without_external_fonts(made):
    for directory in (made, IMAGES):
        drawn = (directory / DASHBOARD).read_text()
        text = "".join(ET.fromstring(drawn).itertext()).replace("\xa0", " ")
        assert "payment stopped" in text
        assert re.search(r"reserved *1", text)
        assert "url(http" not in drawn
