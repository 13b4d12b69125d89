"""A Google Cloud project as a fake gcloud (tests/support/gcloud) records it."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.support import preflight
from tests.support.manifests import ROOT


class Project:
    """The project's state, and an environment in which `gcloud` is the fake."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._state = directory / "state"
        self._state.mkdir()
        self._answers = directory / "answers"
        self._answers.mkdir()
        preflight.write(preflight.answers(), self._answers)
        for name in ("gcloud", "kubectl"):
            (directory / name).symlink_to(ROOT / "tests/support/gcloud")
        self.environ = {
            **os.environ,
            "PATH": f"{directory}:{Path(sys.executable).parent}:{os.environ['PATH']}",
            "FAKE_GCLOUD": str(self._state),
            "FAKE_ANSWERS": str(self._answers),
        }

    @property
    def resources(self) -> Mapping[str, list[str]]:
        """The existing resources, with the arguments that created them."""
        created = (path for path in self._state.iterdir() if path.name != "calls")
        return {path.name: path.read_text().rstrip("\n").split("\t") for path in created}

    @property
    def calls(self) -> list[list[str]]:
        """The arguments of every call."""
        calls = self._state / "calls"
        return [line.split("\t") for line in calls.read_text().splitlines()] if calls.exists() else []

    @property
    def changes(self) -> list[list[str]]:
        """The arguments of the calls that change something."""
        return [words for words in self.calls if "describe" not in words]

    def forget_answer(self, command: str) -> None:
        """Let a command that only reads fail, which is given by its words before the options."""
        (self._answers / f"{command.replace('/', '_')}.json").unlink()

    def forget_calls(self) -> None:
        (self._state / "calls").unlink()
