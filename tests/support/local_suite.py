"""What the tests of `sagactl up` share: a suite of real processes, started as a user would."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

WAIT_SECONDS = 60
SAGACTL = (sys.executable, "-m", "sagactl")


class LocalSuite:
    """`sagactl up`, or something that calls it, in a session of its own."""

    def __init__(self, directory: Path, argv: tuple[str, ...], environ: Mapping[str, str]) -> None:
        self.run_dir = directory / ".run"
        self._output = directory / "output"
        self._began = time.monotonic()
        self.seen: set[int] = set()
        """Every process of it that was ever looked at."""
        with self._output.open("wb") as output:
            self.process = subprocess.Popen(
                argv,
                cwd=directory,
                env=environment(environ),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def output(self) -> str:
        return self._output.read_text()

    @property
    def facts(self) -> dict[str, Any]:
        """What it says of itself in suite.json."""
        facts: dict[str, Any] = json.loads((self.run_dir / "suite.json").read_text())
        return facts

    def until_said(self, words: str, times: int = 1) -> None:
        """Return once it has printed `words` that often; fail if it ends before."""
        until(lambda: self.output.count(words) >= times or self.process.poll() is not None)
        assert self.output.count(words) >= times, self.output

    def until_ready(self) -> float:
        """The seconds it took."""
        self.until_said("\nready: ")
        until((self.run_dir / "suite.json").exists)
        return time.monotonic() - self._began

    def pids(self, *command: str) -> list[int]:
        """Its processes, all the way down, whose command line has each of `command` in it."""
        running = descendants(self.process.pid)
        self.seen.update(running)
        return [pid for pid in running if set(command) <= set(command_line(pid))]

    def call(self, method: str, **body: Any) -> Any:
        """The answer of the gateway to a request of the purchase API."""
        url = f"{self.facts['gateway']}/purchase/api/{method}"
        return httpx.post(url, json=body, trust_env=False, timeout=WAIT_SECONDS).json()

    def sagactl(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        return sagactl(*arguments, "--run-dir", str(self.run_dir))

    def end(self, signum: signal.Signals = signal.SIGTERM) -> int:
        """Its exit status after the signal; it has 15 seconds."""
        self.process.send_signal(signum)
        return self.process.wait(15)


@contextmanager
def suite(
    directory: Path, *arguments: str, argv: tuple[str, ...] = (), environ: Mapping[str, str] | None = None
) -> Iterator[LocalSuite]:
    """A suite that may or may not become ready; afterwards nothing is left of it."""
    local = LocalSuite(directory, argv or (*SAGACTL, "up", "--port", "0", *arguments), environ or {})
    try:
        yield local
    finally:
        local.pids()
        local.process.kill()
        local.process.wait()
        try:
            until(lambda: not any(map(alive, local.seen)))
        finally:
            for pid in filter(alive, local.seen):
                os.kill(pid, signal.SIGKILL)


@contextmanager
def embedded(
    directory: Path, *arguments: str, environ: Mapping[str, str] | None = None
) -> Iterator[LocalSuite]:
    """A suite that is ready, on the embedded backend."""
    with suite(directory, "--backend", "embedded", *arguments, environ=environ) as local:
        local.until_ready()
        yield local


def sagactl(*arguments: str, environ: Mapping[str, str] | None = None) -> "subprocess.CompletedProcess[str]":
    """A command that has ended."""
    return subprocess.run(
        [*SAGACTL, *arguments],
        env=environment(environ or {}),
        capture_output=True,
        text=True,
        timeout=WAIT_SECONDS,
        check=False,
    )


def environment(extra: Mapping[str, str]) -> dict[str, str]:
    """This process's, without what would choose a backend or a place."""
    chosen = ("BACKEND", "PORT", "REPLICAS", "RUN_DIR", "AUTH", "STOCK_ADDRESS")
    emulators = ("DATASTORE_EMULATOR_HOST", "PUBSUB_EMULATOR_HOST", "GOOGLE_CLOUD_PROJECT")
    kept = {name: value for name, value in os.environ.items() if name not in (*chosen, *emulators)}
    return {**kept, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), **extra}


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False


def command_line(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().split("\0")
    except OSError:
        return []


def descendants(pid: int) -> list[int]:
    try:
        threads = list(Path(f"/proc/{pid}/task").iterdir())
        children = [int(child) for thread in threads for child in (thread / "children").read_text().split()]
    except OSError:
        return []
    return [found for child in children for found in (child, *descendants(child))]
