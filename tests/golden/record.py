"""Records the golden files again: `python -m tests.golden.record`. A change in them needs a reason."""

import asyncio
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from tests.golden.drive import Drive

FILES = Path(__file__).parent / "files"


def drive() -> Mapping[str, str]:
    """What is seen now, by file."""
    with tempfile.TemporaryDirectory() as directory:
        return asyncio.run(Drive(Path(directory)).run())


def record(files: Path = FILES) -> None:
    for name, text in drive().items():
        (files / name).parent.mkdir(parents=True, exist_ok=True)
        (files / name).write_text(text)


if __name__ == "__main__":
    record(*map(Path, sys.argv[1:]))
