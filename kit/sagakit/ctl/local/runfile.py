"""The run directory of a local suite: its files, its lock, and the file that tells commands where it runs."""

import fcntl
import json
import os
import shutil
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO

from sagakit.codec import from_entity
from sagakit.ctl.errors import CommandError
from sagakit.errors import Poison

RUN_DIR = Path(".run")

LOGS, DATABASE = "logs", "embedded.sqlite3"
KEY, JWKS = "development-key.pem", "development-jwks.json"
_LOCK = "lock"
_SUITE = "suite.json"
_NEW_SUITE = f"{_SUITE}.new"
_DATABASES = (DATABASE, *(f"{DATABASE}-{suffix}" for suffix in ("wal", "shm", "journal")), "embedded.wake")
_WRITTEN = {LOGS, KEY, JWKS, _LOCK, _SUITE, _NEW_SUITE, *_DATABASES}
"""All that a suite writes into its directory: `remove` removes no directory with anything else."""


@dataclass(frozen=True, slots=True)
class Suite:
    """A running suite, as other commands see it."""

    pid: int
    backend: str
    gateway: str
    """URL of the gateway."""
    addresses: Mapping[str, Sequence[str]]
    """By service, "host:port" of each of its processes."""
    environ: Mapping[str, str]
    """Variables that name the backend, emulators included."""
    control: str
    """Path of the control socket."""
    metrics: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """By service, and for the gateway, "host:port" of each metrics endpoint."""
    auth: bool = True
    """Whether clients need a token."""


@contextmanager
def locked(run_dir: Path) -> Iterator[None]:
    """Context manager: hold the directory exclusively, until the block or the process ends.

    Creates it if it is missing. Raises CommandError if it is not writable, other users can write to it, or
    another suite holds it.
    """
    try:
        make_private(run_dir)
        file = open_private(run_dir / _LOCK, "a+")
    except OSError as error:
        raise _cannot_write(run_dir, error) from error
    with file:
        file.seek(0)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = file.read().strip() or "another"
            raise CommandError(f"a suite runs in {run_dir} already (process {holder})") from error
        file.truncate()
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield


def make_private(run_dir: Path) -> None:
    """Create the directory, and close an existing one to other users.

    Raises OSError, and CommandError if other users could write to it: it may contain keys of theirs.
    """
    run_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    if run_dir.stat().st_mode & stat.S_IWOTH:
        raise CommandError(f"other users can write to {run_dir}: remove it, or name another directory")
    run_dir.chmod(0o700)


def open_private(file: Path, mode: str) -> IO[str]:
    """Open a text file; if it is created, only this user can read it."""
    return open(file, mode, errors="replace", opener=_create_private)


def _create_private(file: str, flags: int) -> int:
    return os.open(file, flags, 0o600)


def reset(run_dir: Path, logs: Path) -> None:
    """Remove everything of an earlier suite but its data. Raises CommandError if that fails."""
    try:
        remove_suite(run_dir)
        if logs.exists():
            shutil.rmtree(logs)
        logs.mkdir()
    except OSError as error:
        raise _cannot_write(run_dir, error) from error


def remove(run_dir: Path) -> None:
    """Remove the directory of a suite that has ended, if it exists.

    Raises CommandError if a suite runs in it, or it has anything that no suite writes (nothing is changed
    then), or it cannot be removed.
    """
    if not run_dir.exists():
        return
    try:
        others = sorted({each.name for each in run_dir.iterdir()} - _WRITTEN)
        if others:
            raise CommandError(f"{run_dir} is not removed: {others[0]} in it does not belong to a suite")
        with locked(run_dir):
            shutil.rmtree(run_dir)
    except OSError as error:
        raise CommandError(f"cannot remove {error.filename or run_dir}: {error.strerror or error}") from error


def write_suite(run_dir: Path, suite: Suite) -> None:
    """Make the suite known to `read_suite`."""
    unfinished = run_dir / _NEW_SUITE
    unfinished.write_text(json.dumps(asdict(suite), indent=2) + "\n")
    unfinished.replace(run_dir / _SUITE)


def remove_suite(run_dir: Path) -> None:
    """Undo `write_suite`."""
    (run_dir / _SUITE).unlink(missing_ok=True)


def read_suite(run_dir: Path) -> Suite | None:
    """Return the suite that runs in `run_dir`, if any."""
    try:
        suite = from_entity(Suite, json.loads((run_dir / _SUITE).read_text()))
        os.kill(suite.pid, 0)
    except (OSError, ValueError, Poison):
        return None  # Never started, or killed before it could clean up.
    return suite


def require_suite(run_dir: Path) -> Suite:
    """Return the suite that runs in `run_dir`. Raises CommandError if none does."""
    suite = read_suite(run_dir)
    if suite is None:
        raise CommandError(f"no suite runs in {run_dir}")
    return suite


def _cannot_write(run_dir: Path, error: OSError) -> CommandError:
    return CommandError(f"cannot write to {error.filename or run_dir}: {error.strerror}")
