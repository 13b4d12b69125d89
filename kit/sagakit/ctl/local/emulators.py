"""Google's emulators as child processes: where they are installed and how they are started.

Their Java is started directly: `gcloud beta emulators … start` leaves it behind when it is killed.
"""

import asyncio
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from sagakit.concurrency import first_completed
from sagakit.ctl.errors import CommandError
from sagakit.ctl.local.child import start_process, stop_process
from sagakit.ctl.local.logs import tail
from sagakit.ctl.local.ports import LOOPBACK, free_ports, wait_until_responds

START_TIMEOUT_SECONDS = 60.0
STOP_TIMEOUT_SECONDS = 3.0

_CLIENTS = ("google", "google.cloud", "google.cloud.datastore", "google.cloud.pubsub")

# A bounded heap, and an exit rather than a hang if it does not suffice.
_JVM = ("-Xmx2g", "-XX:+ExitOnOutOfMemoryError", "-Duser.language=en")


@dataclass(frozen=True, slots=True)
class Emulator:
    """One of Google's emulators."""

    title: str
    component: str
    """Name for `gcloud components install`."""
    jar: str
    """Pattern below the SDK's platform/ directory."""
    main_class: str
    options: tuple[str, ...] = ()


FIRESTORE = Emulator(
    title="Firestore emulator in Datastore mode",
    component="cloud-firestore-emulator",
    jar="cloud-firestore-emulator/cloud-firestore-emulator.jar",
    main_class="com.google.cloud.datastore.emulator.firestore.CloudFirestore",
    options=("start", "--database-mode=datastore-mode"),
)
DATASTORE = Emulator(
    title="Datastore emulator",
    component="cloud-datastore-emulator",
    jar="cloud-datastore-emulator/CloudDatastore.jar",
    main_class="com.google.cloud.datastore.emulator.CloudDatastore",
    options=("start", "--consistency=1.0", "--store_on_disk=False"),
)
PUBSUB = Emulator(
    title="Pub/Sub emulator",
    component="pubsub-emulator",
    jar="pubsub-emulator/lib/cloud-pubsub-emulator-*-all.jar",
    main_class="com.google.cloud.pubsub.testing.v1.Main",
)


def why_unavailable(*emulators: Emulator, environ: Mapping[str, str] = os.environ) -> str | None:
    """Return what is missing on this machine to start and use the emulators, or None."""
    if not all(map(find_spec, _CLIENTS)):
        return "sagakit is installed without the extra gcp"
    if _gcloud(environ) is None:
        return "no gcloud on the PATH"
    if _java(environ) is None:
        return "no java on the PATH"
    for emulator in emulators:
        if _jar(emulator, environ) is None:
            return f"gcloud lacks the component {emulator.component}"
    return None


def command(emulator: Emulator, port: int, data: Path) -> tuple[str, ...]:
    """Return the command that starts the emulator on a loopback port, with an empty directory for its data.

    Raises CommandError if something is missing.
    """
    missing = why_unavailable(emulator)
    if missing is not None:
        raise CommandError(f"cannot start the {emulator.title}: {missing}")
    address = (f"--host={LOOPBACK}", f"--port={port}")
    directory = (str(data),) if emulator is DATASTORE else ()
    java, jar = _java(os.environ), _jar(emulator, os.environ)
    return (str(java), *_JVM, "-cp", str(jar), emulator.main_class, *emulator.options, *address, *directory)


@asynccontextmanager
async def running(emulator: Emulator, log: Path, port: int | None = None) -> AsyncIterator[str]:
    """Context manager: run the emulator inside the block; yields "host:port" once it responds.

    Its data is gone afterwards. Raises CommandError with the end of its log if it does not start.
    """
    port = free_ports(1)[0] if port is None else port
    with tempfile.TemporaryDirectory() as data, log.open("wb") as output:
        process = await start_process(command(emulator, port, Path(data)), os.environ, output.fileno())
        try:
            await _wait_until_up(emulator, process, port, log)
            yield f"{LOOPBACK}:{port}"
        finally:
            await stop_process(process, STOP_TIMEOUT_SECONDS)


async def _wait_until_up(
    emulator: Emulator, process: asyncio.subprocess.Process, port: int, log: Path
) -> None:
    responds = wait_until_responds(f"http://{LOOPBACK}:{port}/", START_TIMEOUT_SECONDS)
    with suppress(TimeoutError):
        if await first_completed(responds, process.wait()) is None:
            return
    raise CommandError(f"the {emulator.title} did not start; its log ends:", tail(log))


def _gcloud(environ: Mapping[str, str]) -> str | None:
    return shutil.which("gcloud", path=environ.get("PATH", ""))


def _java(environ: Mapping[str, str]) -> str | None:
    home = environ.get("JAVA_HOME")
    return shutil.which("java", path=f"{home}/bin" if home else environ.get("PATH", ""))


def _jar(emulator: Emulator, environ: Mapping[str, str]) -> Path | None:
    gcloud = _gcloud(environ)
    if gcloud is None:
        return None
    # Distributions put a link to <SDK>/bin/gcloud on the PATH.
    platform = Path(gcloud).resolve().parent.parent / "platform"
    return max(platform.glob(emulator.jar), default=None)
