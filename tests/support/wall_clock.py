"""The wall clock of other processes, which a test steps while they run (stepped_clock.c)."""

import shutil
import struct
import subprocess
from collections.abc import Mapping
from pathlib import Path

COMPILER = shutil.which("gcc")
SOURCE = Path(__file__).with_name("stepped_clock.c")


class WallClock:
    """The wall clock of the processes that are started with `environ`."""

    def __init__(self, folder: Path) -> None:
        assert COMPILER is not None
        self._offset = folder / "offset"
        self._library = folder / "stepped_clock.so"
        self.step_to(0)
        command = [COMPILER, "-Wall", "-Werror", "-shared", "-fPIC", "-o", str(self._library), str(SOURCE)]
        subprocess.run([*command, "-ldl"], check=True)

    @property
    def environ(self) -> Mapping[str, str]:
        return {"LD_PRELOAD": str(self._library), "WALL_CLOCK_OFFSET": str(self._offset)}

    def step_to(self, seconds: int) -> None:
        """Step to this distance from the real time."""
        with self._offset.open("r+b" if self._offset.exists() else "xb", buffering=0) as file:
            file.write(struct.pack("q", seconds))
