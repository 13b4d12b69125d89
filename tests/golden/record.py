"""Records the golden files again: `python -m tests.golden.record`. A change in them needs a reason."""

import asyncio
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from structlog.testing import capture_logs

from tests.golden.others import authenticated, failing, reminders
from tests.golden.seen import Seen
from tests.golden.shop import shop

FILES = Path(__file__).parent / "files"


def record_all() -> Mapping[str, str]:
    """Return the recordings of the current state, by file."""
    with tempfile.TemporaryDirectory() as directory:
        return asyncio.run(_record_all(Seen(Path(directory))))


async def _record_all(seen: Seen) -> Mapping[str, str]:
    with capture_logs():  # else they are among what commands print
        await asyncio.gather(*(part(seen) for part in (shop, reminders, authenticated, failing)))
    return seen.all_files()


def record(files: Path = FILES) -> None:
    for name, text in record_all().items():
        (files / name).parent.mkdir(parents=True, exist_ok=True)
        (files / name).write_text(text)


if __name__ == "__main__":
    record(*map(Path, sys.argv[1:]))
