"""Every code block of the documentation runs, in the order of its page, or the page tells why it does not."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from tests.docs.blocks import ROOT, pages, script, unprinted

BIN = Path(sys.executable).parent
RUN = [page for page in pages() if re.search(r"<!-- run", page.read_text())]

# In a folder without a Makefile, the repository's is meant. Its environment is up to date: make must not ask
# an index about that.
MAKE = f'() {{ [ -f Makefile ] || set -- -C {ROOT} -o .venv/.run -o .venv/.dev "$@"; command make "$@"; }}'

STOP_SECONDS = 40
"""Longer than a suite takes to stop."""

pytestmark = pytest.mark.timeout(600)


def constraints(directory: Path) -> Path:
    """Return a file with the pinned versions, which take no hashes as constraints of pip."""
    pins = re.findall(
        r"^([\w.-]+)(?:\[[\w,]+\])?(==[\w.]+)", (ROOT / "requirements.txt").read_text(), re.MULTILINE
    )
    file = directory / "constraints.txt"
    file.write_text("\n".join(map("".join, pins)))
    return file


def environ(directory: Path) -> dict[str, str]:
    """Return the environment of a page: nothing of this process but the PATH and what pip needs."""
    pip = {name: value for name, value in os.environ.items() if name.startswith(("PIP_", "HOME", "http"))}
    return {
        **pip,
        "PATH": f"{BIN}:{os.environ['PATH']}",
        "PIP_CONSTRAINT": str(constraints(directory.parent)),
        "BACKEND": "embedded",
        "RUN_DIR": str(directory / ".run"),
        "SWEEP_SECONDS": "1",
        "BASH_FUNC_make%%": MAKE,
    }


def leave_nothing(group: int) -> None:
    """Have all processes of the group stop, and wait until they have; end them if they do not."""
    with suppress(ProcessLookupError):
        os.killpg(group, signal.SIGTERM)
        deadline = time.monotonic() + STOP_SECONDS
        while time.monotonic() < deadline:
            os.killpg(group, 0)
            time.sleep(0.05)
        os.killpg(group, signal.SIGKILL)
        pytest.fail("processes that the page started did not stop")


@pytest.mark.parametrize("page", RUN, ids=lambda page: str(page.relative_to(ROOT)))
def test_page_runs(page: Path, tmp_path: Path):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    text = page.read_text()
    commands = script(text)
    for written, here in (
        ("/path/to/saga", str(ROOT)),
        (".venv/bin/", f"{BIN}/"),
        ("127.0.0.1:8080", f"127.0.0.1:{port}"),
    ):
        commands = commands.replace(written, here)
    directory = tmp_path / "page"
    directory.mkdir()

    with subprocess.Popen(
        ["bash", "-c", commands],
        cwd=directory,
        env=environ(directory) | ({"PORT": str(port)} if "make run" in text else {}),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as shell:
        try:
            printed, _ = shell.communicate(timeout=500)
        finally:
            leave_nothing(shell.pid)

    assert shell.returncode == 0, f"{page}:\n{printed}"
    assert unprinted(text, directory) == []
