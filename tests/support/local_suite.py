"""Starts `sagactl up` as a child process, for the tests that need a suite of real processes and the bench."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from tests.support.eventually import wait_until

TIMEOUT_SECONDS = 60
SAGACTL = (sys.executable, "-m", "sagactl")


class LocalSuite:
    """`sagactl up`, or a command that calls it, in a process session of its own."""

    def __init__(self, directory: Path, argv: tuple[str, ...], environ: Mapping[str, str]) -> None:
        self.run_dir = directory / ".run"
        self._output = directory / "output"
        self._started_at = time.monotonic()
        self.seen: set[int] = set()
        """Every process id that `pids` ever returned."""
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
        """The content of suite.json."""
        facts: dict[str, Any] = json.loads((self.run_dir / "suite.json").read_text())
        return facts

    def until_printed(self, text: str, times: int = 1) -> None:
        """Wait until the output contains `text` `times` times; fail if the process ends before."""
        wait_until(lambda: self.output.count(text) >= times or self.process.poll() is not None)
        assert self.output.count(text) >= times, self.output

    def until_ready(self) -> float:
        """Wait until the suite is ready. Return the seconds from its start."""
        self.until_printed("\nready: ")
        wait_until((self.run_dir / "suite.json").exists)
        return time.monotonic() - self._started_at

    def pids(self, *command: str) -> list[int]:
        """Return its descendant processes whose command line contains every word of `command`."""
        running = descendants(self.process.pid)
        self.seen.update(running)
        return [pid for pid in running if set(command) <= set(command_line(pid))]

    def call(self, method: str, **body: Any) -> Any:
        """Return the gateway's answer to a request of the purchase API; fail if it is an error."""
        url = f"{self.facts['gateway']}/purchase/api/{method}"
        answer = httpx.post(url, json=body, trust_env=False, timeout=TIMEOUT_SECONDS)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def order(self, **items: int) -> str:
        """Check out a new cart with these items; return the orderid."""
        cart = {"cartid": f"cart-{os.urandom(8).hex()}"}
        self.call("create_cart", **cart)
        for itemid, count in items.items():
            self.call("add_item", **cart, itemid=itemid, count=count)
        self.call("close_cart", **cart)
        return str(self.call("checkout", **cart)["order_ticket"]["orderid"])

    def status(self, orderid: str) -> str:
        return str(self.call("get_order_ticket", orderid=orderid)["order_ticket"]["status"])

    def sagactl(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        return sagactl(*arguments, "--run-dir", str(self.run_dir))

    def end(self, signum: signal.Signals = signal.SIGTERM) -> int:
        """Send the signal and return the exit status; the suite has 15 seconds to end."""
        self.process.send_signal(signum)
        return self.process.wait(15)


@contextmanager
def suite(
    directory: Path, *arguments: str, argv: tuple[str, ...] = (), environ: Mapping[str, str] | None = None
) -> Iterator[LocalSuite]:
    """Start a suite, which may not be ready yet. Afterwards none of its processes is left."""
    local = LocalSuite(directory, argv or (*SAGACTL, "up", "--port", "0", *arguments), environ or {})
    try:
        yield local
    finally:
        local.pids()
        local.process.kill()
        local.process.wait()
        try:
            wait_until(lambda: not any(map(alive, local.seen)))
        finally:
            for pid in filter(alive, local.seen):
                os.kill(pid, signal.SIGKILL)


@contextmanager
def ready_suite(
    directory: Path, *arguments: str, environ: Mapping[str, str] | None = None
) -> Iterator[LocalSuite]:
    """Start a suite and wait until it is ready; on the embedded backend unless `environ` names another."""
    with suite(directory, *arguments, environ={"BACKEND": "embedded", **(environ or {})}) as local:
        local.until_ready()
        yield local


def sagactl(*arguments: str, environ: Mapping[str, str] | None = None) -> "subprocess.CompletedProcess[str]":
    """Run a sagactl command to its end."""
    return subprocess.run(
        [*SAGACTL, *arguments],
        env=environment(environ or {}),
        capture_output=True,
        text=True,
        timeout=TIMEOUT_SECONDS,
        check=False,
    )


def environment(extra: Mapping[str, str]) -> dict[str, str]:
    """Return this process's environment without settings of the suite, plus `extra`."""
    settings = ("BACKEND", "PORT", "REPLICAS", "RUN_DIR", "AUTH", "STOCK_ADDRESS")
    emulators = ("DATASTORE_EMULATOR_HOST", "PUBSUB_EMULATOR_HOST", "GOOGLE_CLOUD_PROJECT")
    kept = {name: value for name, value in os.environ.items() if name not in (*settings, *emulators)}
    return {**kept, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), **extra}


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
