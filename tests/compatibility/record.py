"""Record this version as a release: `python -m tests.compatibility.record`, which `make release` calls.

It writes tests/compatibility/<version>/: the wheels of `make dist`, a copy of the reader, and a recording of
each backend.
"""

import asyncio
import shutil
import sys
import tempfile
from pathlib import Path

from sagakit.ctl.local.emulators import FIRESTORE, PUBSUB, running
from sagakit.version import __version__
from tests.compatibility import reader
from tests.compatibility.recording import Recording, record

HERE = Path(__file__).parent
BACKENDS = ("embedded", "emulators")
DIST = HERE.parents[1] / "build/dist"


async def recorded(backend: str, directory: Path) -> Recording:
    """Return a recording of this version on a backend: embedded or emulators."""
    if backend == "embedded":
        return await record({"BACKEND": "embedded", "EMBEDDED_FILE": str(directory / "data.sqlite3")})
    async with (
        running(FIRESTORE, directory / "firestore.log") as datastore,
        running(PUBSUB, directory / "pubsub.log") as pubsub,
    ):
        hosts = {"DATASTORE_EMULATOR_HOST": datastore, "PUBSUB_EMULATOR_HOST": pubsub}
        return await record({"BACKEND": "gcp", "GOOGLE_CLOUD_PROJECT": "compatibility", **hosts})


def main(release: Path) -> None:
    if release.exists():
        sys.exit(f"{release} exists: a release is recorded once; raise the version in kit/sagakit/version.py")
    release.mkdir()
    for wheel in DIST.glob("*.whl"):
        shutil.copy(wheel, release)
    shutil.copy(reader.__file__, release)
    for backend in BACKENDS:
        with tempfile.TemporaryDirectory() as directory:
            asyncio.run(recorded(backend, Path(directory))).write(release / backend)


if __name__ == "__main__":
    main(HERE / __version__)
