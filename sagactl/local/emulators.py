"""Google's emulators as plain child processes: where they are installed, how they are started.

Their Java is started directly: `gcloud beta emulators … start` leaves it behind when it is killed.
"""

import asyncio
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from sagactl.errors import CommandError
from sagactl.local import processes
from sagactl.local.logs import tail
from sagactl.local.ports import LOOPBACK, free_ports
from sagactl.local.probe import wait_until_answers

START_SECONDS = 60.0
STOP_SECONDS = 3.0

# A bounded heap, and an end rather than a standstill where it does not suffice.
_JVM = ("-Xmx2g", "-XX:+ExitOnOutOfMemoryError", "-Duser.language=en")


@dataclass(frozen=True, slots=True)
class Emulator:
    """One of Google's emulators."""

    title: str
    component: str
    """What `gcloud components install` calls it."""
    jar: str
    """A pattern below the SDK's platform/ directory."""
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
    """What is missing on this machine to start them; None: nothing is."""
    if _gcloud(environ) is None:
        return "no gcloud on the PATH"
    if _java(environ) is None:
        return "no java on the PATH"
    for emulator in emulators:
        if _jar(emulator, environ) is None:
            return f"gcloud lacks the component {emulator.component}"
    return None


def command(emulator: Emulator, port: int, data: Path) -> tuple[str, ...]:
    """What starts it on loopback port `port`; `data` is an empty directory of its own.

    CommandError where something for it is missing.
    """
    missing = why_unavailable(emulator)
    if missing is not None:
        raise CommandError(f"cannot start the {emulator.title}: {missing}")
    address = (f"--host={LOOPBACK}", f"--port={port}")
    where = (str(data),) if emulator is DATASTORE else ()
    java, jar = _java(os.environ), _jar(emulator, os.environ)
    return (str(java), *_JVM, "-cp", str(jar), emulator.main_class, *emulator.options, *address, *where)


@asynccontextmanager
async def running(emulator: Emulator, log: Path, port: int | None = None) -> AsyncIterator[str]:
    """Yields its "host:port" once it answers; afterwards it is gone, with all it held.

    CommandError, with the end of its log, where it dies early or does not answer within a minute.
    """
    port = free_ports(1)[0] if port is None else port
    with tempfile.TemporaryDirectory() as data, log.open("wb") as output:
        process = await processes.start(command(emulator, port, Path(data)), os.environ, output.fileno())
        try:
            await _wait_until_up(emulator, process, port, log)
            yield f"{LOOPBACK}:{port}"
        finally:
            await processes.stop(process, STOP_SECONDS)


async def _wait_until_up(
    emulator: Emulator, process: asyncio.subprocess.Process, port: int, log: Path
) -> None:
    answered = asyncio.create_task(wait_until_answers(f"http://{LOOPBACK}:{port}/", START_SECONDS))
    died = asyncio.create_task(process.wait())
    try:
        await asyncio.wait((answered, died), return_when=asyncio.FIRST_COMPLETED)
        if not answered.done() or answered.exception() is not None:
            raise CommandError(f"the {emulator.title} did not start; its log ends:\n{tail(log)}")
    finally:
        answered.cancel()
        died.cancel()


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
