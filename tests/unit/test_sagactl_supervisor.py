"""Programs that are supervised running: small real processes stand in for the services."""

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

from sagactl.errors import CommandError
from sagactl.local.child import Program, run_once
from sagactl.local.logs import MAX_LINE_BYTES
from sagactl.local.supervisor import Supervisor
from sagakit.runtime import Backoff

WAIT_SECONDS = 20
SHORT = Backoff(first_seconds=0.01, cap_seconds=0.05, attempts=100)

IDLE = "import os, time; print('up', os.getpid(), flush=True); time.sleep(600)"
DEAF = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {IDLE}"
FAILING = "print('no such setting'); raise SystemExit(3)"
WITH_GRANDCHILD = f"""
import subprocess, sys
print(subprocess.Popen([sys.executable, "-c", {IDLE!r}]).pid, flush=True)
raise SystemExit(0)
"""


class Watched:
    """A supervisor, what it says and what its programs print."""

    def __init__(self, tmp_path, grace_seconds=5.0, pauses=SHORT):
        self.said: list[str] = []
        self.printed: list[str] = []
        self.force = asyncio.Event()
        self._tmp_path = tmp_path
        self._supervisor = Supervisor(self.said.append, grace_seconds, pauses)

    def keep(self, code, recover=None):
        self._supervisor.add(self.program(code), self.printed.append, recover)

    def program(self, code):
        return Program("stub", (sys.executable, "-c", code), os.environ, self._tmp_path / "stub.log")

    @property
    def log(self):
        log = self._tmp_path / "stub.log"
        return log.read_bytes() if log.exists() else b""

    @property
    def pids(self):
        """Of the lives that have said they are up."""
        return [int(line.split()[1]) for line in self.printed if line.startswith("up ")]

    async def gave_up(self):
        return await asyncio.wait_for(self._supervisor.gave_up(), WAIT_SECONDS)

    async def stop(self):
        await asyncio.wait_for(self._supervisor.stop(self.force), WAIT_SECONDS)


async def until(condition):
    async with asyncio.timeout(WAIT_SECONDS):
        while not condition():  # noqa: ASYNC110 - what is waited for happens in other processes
            await asyncio.sleep(0.01)


def children():
    return set(Path(f"/proc/self/task/{os.getpid()}/children").read_text().split())


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False


pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")


@pytest.fixture
async def watched(tmp_path):
    watched = Watched(tmp_path)
    yield watched
    watched.force.set()
    await watched.stop()
    for pid in filter(alive, watched.pids):  # Only where a test failed.
        os.kill(pid, signal.SIGKILL)


async def test_a_program_that_is_killed_is_started_again(watched):
    watched.keep(IDLE)
    await until(lambda: watched.pids)

    os.kill(watched.pids[0], signal.SIGKILL)

    await until(lambda: len(watched.pids) == 2)
    assert watched.said[0].startswith("stub ended (killed by SIGKILL); restarting in")


async def test_the_log_outlives_the_program(watched):
    watched.keep(FAILING)

    await until(lambda: watched.log.count(b"no such setting\n") >= 3)


async def test_a_program_that_cannot_start_is_hopeless(watched):
    watched.keep(FAILING)

    assert (await watched.gave_up()).name == "stub"
    assert "exit status 3" in watched.said[0]


async def test_a_crash_loop_is_reported_with_the_end_of_the_log_and_tried_on(watched):
    watched.keep(FAILING)

    await until(lambda: any("log ends" in line for line in watched.said))

    report, log_end = next(
        (a, b) for a, b in zip(watched.said, watched.said[1:], strict=False) if "log ends" in b
    )
    assert report.startswith("stub is crash-looping (5 exits in a row; exit status 3)")
    assert log_end.endswith("  no such setting")
    await until(lambda: any("6 exits in a row" in line for line in watched.said))


async def test_a_program_that_is_not_there_is_reported(watched, tmp_path):
    missing = Program("stub", (str(tmp_path / "nothing"),), {}, tmp_path / "stub.log")
    watched._supervisor.add(missing, watched.printed.append)

    await watched.gave_up()

    assert "cannot be started: [Errno 2] No such file or directory" in watched.said[0]


async def test_recovery_follows_every_start_but_the_first(watched):
    recovered = asyncio.Event()

    async def recover():
        recovered.set()

    watched.keep(IDLE, recover)
    await until(lambda: watched.pids)
    assert not recovered.is_set()
    os.kill(watched.pids[0], signal.SIGKILL)

    await asyncio.wait_for(recovered.wait(), WAIT_SECONDS)


async def test_stopping_asks_first(watched):
    says_goodbye = "import signal, sys; signal.signal(signal.SIGTERM, lambda *_: sys.exit(print('bye')))"
    watched.keep(f"{says_goodbye}; {IDLE}")
    await until(lambda: watched.pids)

    await watched.stop()

    assert watched.printed[1:] == ["bye"]
    assert not alive(watched.pids[0])


async def test_who_does_not_listen_is_killed_after_the_grace(tmp_path):
    watched = Watched(tmp_path, grace_seconds=0.1)
    watched.keep(DEAF)
    await until(lambda: watched.pids)

    await watched.stop()

    assert watched.said == ["stub did not end within 0.1 s and was killed"]
    assert not alive(watched.pids[0])


async def test_who_was_stopped_by_a_signal_is_killed_as_well(tmp_path):
    watched = Watched(tmp_path, grace_seconds=0.1)
    watched.keep(IDLE)
    await until(lambda: watched.pids)
    os.kill(watched.pids[0], signal.SIGSTOP)

    await watched.stop()

    assert not alive(watched.pids[0])


async def test_in_a_hurry_nobody_is_waited_for(tmp_path):
    watched = Watched(tmp_path, grace_seconds=600)
    watched.keep(DEAF)
    await until(lambda: watched.pids)
    watched.force.set()

    await watched.stop()

    assert not alive(watched.pids[0])


async def test_a_program_that_waits_for_its_next_start_is_not_started_any_more(tmp_path):
    watched = Watched(tmp_path, pauses=Backoff(first_seconds=600, cap_seconds=600, attempts=1))
    watched.keep(FAILING)
    await until(lambda: watched.said)

    await watched.stop()

    assert watched.log == b"no such setting\n"


async def test_a_program_that_is_only_just_starting_is_stopped_too(watched):
    before = children()
    watched.keep(IDLE)
    async with asyncio.timeout(WAIT_SECONDS):
        while children() == before:  # noqa: ASYNC110 - the kernel sets no event
            await asyncio.sleep(0)

    await watched.stop()

    assert children() == before


async def test_what_a_program_has_started_ends_with_it(watched):
    watched.keep(WITH_GRANDCHILD)
    await until(lambda: watched.said)

    grandchild = next(int(line) for line in watched.printed if line.isdecimal())

    await until(lambda: not alive(grandchild))


async def test_a_program_that_prints_garbage_without_end_upsets_nobody(watched):
    watched.keep(f"import sys; sys.stdout.buffer.write(bytes(range(256)) * 8192); print('\\nend'); {IDLE}")

    await until(lambda: watched.pids)

    assert max(len(line) for line in watched.printed) <= MAX_LINE_BYTES
    assert not any("\x00" in line for line in watched.printed)
    assert watched.log.startswith(bytes(range(256)) * 8192)


async def test_a_ctrl_c_at_the_terminal_does_not_reach_the_programs(watched):
    watched.keep("import os; print(os.getsid(0), os.getpgid(0), os.getpid(), flush=True); " + IDLE)

    await until(lambda: watched.printed)

    assert len(set(watched.printed[0].split())) == 1


async def test_a_tool_that_fails_is_reported_with_what_it_said(watched):
    await run_once(watched.program("print('fine')"))

    with pytest.raises(CommandError, match=r"stub failed \(exit status 3\).*\n  no such setting"):
        await run_once(watched.program(FAILING))


async def test_a_tool_ends_with_who_waits_for_it(watched):
    running = asyncio.create_task(run_once(watched.program(IDLE)))
    await until(lambda: watched.log.endswith(b"\n"))

    running.cancel()
    await asyncio.wait([running], timeout=WAIT_SECONDS)

    assert not alive(int(watched.log.split()[1]))


async def test_programs_end_with_a_supervisor_that_is_killed(tmp_path):
    keeper = f"""
import asyncio, os, sys
from pathlib import Path
from sagactl.local.child import Program
from sagactl.local.supervisor import Supervisor

async def main():
    code = "import os; print(os.getpid(), flush=True); " + {DEAF!r}
    program = Program("stub", (sys.executable, "-c", code), os.environ, Path({str(tmp_path)!r}) / "stub.log")
    Supervisor(print, 5).add(program, lambda line: print(line, flush=True))
    await asyncio.Event().wait()

asyncio.run(main())
"""
    supervisor = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        keeper,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    program = int(await asyncio.wait_for(supervisor.stdout.readline(), WAIT_SECONDS))
    assert alive(program)

    supervisor.kill()
    await supervisor.communicate()

    await until(lambda: not alive(program))
