"""The directory of a running suite: whose it is, and where to find what runs."""

import fcntl
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from sagactl.errors import CommandError

RUN_DIR = Path(".run")

_LOCK = "lock"
_SUITE = "suite.json"


@dataclass(frozen=True, slots=True)
class Suite:
    """What other commands have to know of a suite that runs."""

    pid: int
    backend: str
    gateway: str
    """The gateway's URL."""
    addresses: Mapping[str, list[str]]
    """Where each service listens, "host:port" for each of its processes."""
    environ: Mapping[str, str]
    """What names the backend's whereabouts, emulators included."""
    control: str
    """The socket at which it takes orders."""
    metrics: Mapping[str, list[str]] = field(default_factory=dict)
    """Where each service and the gateway serve their metrics, "host:port" for each of their processes."""


@contextmanager
def locked(run_dir: Path) -> Iterator[None]:
    """The directory is there and nobody else's, until its holder ends, however it ends.

    CommandError where it cannot be written to, or another suite runs in it.
    """
    descriptor = _open_lock(run_dir)
    try:
        _lock(descriptor, run_dir)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)


def begin(run_dir: Path, logs: Path) -> None:
    """Nothing is left of an earlier suite but its data. CommandError where that cannot be done."""
    try:
        forget_suite(run_dir)
        if logs.exists():
            shutil.rmtree(logs)
        logs.mkdir()
    except OSError as error:
        raise _cannot_write(run_dir, error) from error


def write_suite(run_dir: Path, suite: Suite) -> None:
    """From now on `read_suite` finds it."""
    unfinished = run_dir / f"{_SUITE}.new"
    unfinished.write_text(json.dumps(asdict(suite), indent=2) + "\n")
    unfinished.replace(run_dir / _SUITE)


def forget_suite(run_dir: Path) -> None:
    """From now on `read_suite` finds none."""
    (run_dir / _SUITE).unlink(missing_ok=True)


def read_suite(run_dir: Path) -> Suite | None:
    """The suite that is ready in `run_dir`, if one is."""
    try:
        suite = Suite(**json.loads((run_dir / _SUITE).read_text()))
        os.kill(suite.pid, 0)
    except (OSError, ValueError, TypeError):
        return None  # None was started, or it was killed and could not clean up.
    return suite


def _open_lock(run_dir: Path) -> int:
    try:
        run_dir.mkdir(parents=True, exist_ok=True)
        return os.open(run_dir / _LOCK, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise _cannot_write(run_dir, error) from error


def _cannot_write(run_dir: Path, error: OSError) -> CommandError:
    return CommandError(f"cannot write to {error.filename or run_dir}: {error.strerror}")


def _lock(descriptor: int, run_dir: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        holder = os.pread(descriptor, 32, 0).decode(errors="replace").strip() or "another"
        raise CommandError(f"a suite runs in {run_dir} already (process {holder})") from error
