"""The supervisor, with small real processes in place of the services."""

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

from sagakit.ctl.errors import CommandError
from sagakit.ctl.local.child import Program, run_once
from sagakit.ctl.local.logs import MAX_LINE_BYTES
from sagakit.ctl.local.supervisor import Supervisor
from sagakit.runtime import Backoff
from tests.support.eventually import eventually

WAIT_SECONDS = 20
SHORT = Backoff(first_seconds=0.01, cap_seconds=0.05, attempts=100)

IDLE = "import os, time; print('up', os.getpid(), flush=True); time.sleep(600)"
IGNORES_SIGTERM = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {IDLE}"
PRINTS_ON_SIGTERM = (
    f"import signal, sys; signal.signal(signal.SIGTERM, lambda *_: sys.exit(print('bye'))); {IDLE}"
)
FAILING = "print('no such setting'); raise SystemExit(3)"
WITH_GRANDCHILD = f"""
import subprocess, sys
print(subprocess.Popen([sys.executable, "-c", {IDLE!r}]).pid, flush=True)
raise SystemExit(0)
"""

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


class Harness:
    """A supervisor of one program, its messages, and the program's output."""

    def __init__(self, tmp_path, grace_seconds=5.0, backoff=SHORT):
        self.messages: list[str] = []
        self.output: list[str] = []
        self.force = asyncio.Event()
        self.log_path = tmp_path / "stub.log"
        self.supervisor = Supervisor(self.messages.append, grace_seconds, backoff)

    async def start(self, code, recover=None):
        """Supervise a program, and wait until it has printed something or the supervisor has."""
        self.supervisor.add(self.program(code), self.output.append, recover)
        await eventually(lambda: self.output or self.messages)

    def program(self, code):
        return Program("stub", (sys.executable, "-c", code), os.environ, self.log_path)

    @property
    def log(self):
        return self.log_path.read_bytes() if self.log_path.exists() else b""

    @property
    def pids(self):
        """The process ids that the program has printed, one for each start."""
        return [int(line.split()[1]) for line in self.output if line.startswith("up ")]

    async def stop(self):
        await asyncio.wait_for(self.supervisor.stop(self.force), WAIT_SECONDS)


def children():
    return set(Path(f"/proc/self/task/{os.getpid()}/children").read_text().split())


def is_running(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False


@pytest.fixture
async def harness(tmp_path):
    harness = Harness(tmp_path)
    yield harness
    harness.force.set()
    await harness.stop()
    for pid in filter(is_running, harness.pids):  # only if the test failed
        os.kill(pid, signal.SIGKILL)


async def test_recovery_runs_after_every_start_but_the_first(harness):
    """Known fault: after `sagactl restart pubsub-emulator` no topic existed, and every order waited."""
    recoveries = []

    async def recover():
        recoveries.append(len(harness.pids))

    await harness.start(IDLE, recover)
    (process,) = harness.supervisor.processes
    assert recoveries == []

    await process.stop(WAIT_SECONDS)
    process.start()
    await eventually(lambda: len(harness.pids) == 2 and recoveries)

    os.kill(harness.pids[1], signal.SIGKILL)
    await eventually(lambda: len(harness.pids) == 3 and len(recoveries) == 2)
    assert harness.messages[1].startswith("stub ended (killed by SIGKILL); restarting in")


async def test_supervisor_gives_up_on_a_program_that_cannot_start(harness):
    await harness.start(FAILING)

    failed = await asyncio.wait_for(harness.supervisor.gave_up(), WAIT_SECONDS)

    assert failed.name == "stub"
    assert "exit status 3" in harness.messages[0]
    assert harness.log.count(b"no such setting\n") >= 3, "the log continues over restarts"


async def test_crash_loop_is_reported_with_the_end_of_the_log_and_restarts_continue(harness):
    await harness.start(FAILING)

    await eventually(lambda: any("6 exits in a row" in line for line in harness.messages))

    log_end = next(line for line in harness.messages if "log ends" in line)
    report = harness.messages[harness.messages.index(log_end) - 1]
    assert report.startswith("stub is crash-looping (5 exits in a row; exit status 3)")
    assert log_end.endswith("  no such setting")


async def test_missing_executable_is_reported(harness, tmp_path):
    missing = Program("stub", (str(tmp_path / "nothing"),), {}, harness.log_path)
    harness.supervisor.add(missing, harness.output.append)

    await asyncio.wait_for(harness.supervisor.gave_up(), WAIT_SECONDS)

    assert "cannot be started: [Errno 2] No such file or directory" in harness.messages[0]


async def test_stop_sends_sigterm_first(harness):
    await harness.start(PRINTS_ON_SIGTERM)

    await harness.stop()

    assert harness.output[1:] == ["bye"]
    assert not is_running(harness.pids[0])


@pytest.mark.parametrize(
    ("code", "grace_seconds", "suspend", "force", "messages"),
    [
        (IGNORES_SIGTERM, 0.1, False, False, ["stub did not end within 0.1 s and was killed"]),
        (IDLE, 0.1, True, False, None),
        (IGNORES_SIGTERM, 600, False, True, []),
    ],
    ids=["ignores SIGTERM", "suspended", "forced"],
)
async def test_program_that_does_not_end_is_killed(tmp_path, code, grace_seconds, suspend, force, messages):
    harness = Harness(tmp_path, grace_seconds)
    await harness.start(code)
    if suspend:
        os.kill(harness.pids[0], signal.SIGSTOP)
    if force:
        harness.force.set()

    await harness.stop()

    assert not is_running(harness.pids[0])
    if messages is not None:  # SIGTERM, if both are pending, is delivered before SIGSTOP
        assert harness.messages == messages


async def test_stopped_program_is_not_restarted(tmp_path):
    harness = Harness(tmp_path, backoff=Backoff(first_seconds=600, cap_seconds=600, attempts=1))
    await harness.start(FAILING)
    await eventually(lambda: harness.messages)

    await harness.stop()

    assert harness.log == b"no such setting\n"


async def test_program_is_stopped_while_it_starts(harness):
    before = children()
    harness.supervisor.add(harness.program(IDLE), harness.output.append)
    async with asyncio.timeout(WAIT_SECONDS):
        while children() == before:  # noqa: ASYNC110 - the kernel sets no event
            await asyncio.sleep(0)

    await harness.stop()

    assert children() == before


async def test_stop_while_a_program_starts_returns_once_it_has_ended(harness):
    before = children()
    harness.supervisor.add(harness.program(IDLE), harness.output.append)
    (process,) = harness.supervisor.processes
    async with asyncio.timeout(WAIT_SECONDS):
        while children() == before:  # noqa: ASYNC110 - the kernel sets no event
            await asyncio.sleep(0)

    await asyncio.wait_for(process.stop(5), WAIT_SECONDS)

    assert process.status()["state"] == "stopped"
    assert children() == before
    process.start()
    await eventually(lambda: harness.pids)


async def test_stop_right_after_a_start_keeps_the_program_stopped(harness):
    await harness.start(IDLE)
    (process,) = harness.supervisor.processes
    await process.stop(5)
    await eventually(lambda: harness.messages)
    before = children()

    process.start()
    await process.stop(5)

    for _ in range(20):  # The supervisor's task forks within one round of the loop.
        await asyncio.sleep(0)
        assert children() == before
    assert process.status()["state"] == "stopped"


async def test_processes_of_a_program_end_with_it(harness):
    await harness.start(WITH_GRANDCHILD)
    await eventually(lambda: harness.messages)

    grandchild = next(int(line) for line in harness.output if line.isdecimal())

    await eventually(lambda: not is_running(grandchild))


async def test_long_binary_output_is_logged_and_printed_in_bounded_lines(harness):
    garbage = "import sys; sys.stdout.buffer.write(bytes(range(256)) * 8192); print('\\nend')"
    await harness.start(f"{garbage}; {IDLE}")

    await eventually(lambda: harness.pids)

    assert max(len(line) for line in harness.output) <= MAX_LINE_BYTES
    assert not any("\x00" in line for line in harness.output)
    assert harness.log.startswith(bytes(range(256)) * 8192)


async def test_program_has_its_own_session_so_that_ctrl_c_does_not_reach_it(harness):
    await harness.start("import os; print(os.getsid(0), os.getpgid(0), os.getpid(), flush=True); " + IDLE)

    assert len(set(harness.output[0].split())) == 1


async def test_failed_tool_is_reported_with_its_output(harness):
    await run_once(harness.program("print('fine')"))

    with pytest.raises(CommandError, match=r"stub failed \(exit status 3\).*\n  no such setting"):
        await run_once(harness.program(FAILING))


async def test_tool_ends_when_its_caller_is_cancelled(harness):
    running = asyncio.create_task(run_once(harness.program(IDLE)))
    await eventually(lambda: harness.log.endswith(b"\n"))

    running.cancel()
    await asyncio.wait([running], timeout=WAIT_SECONDS)

    assert not is_running(int(harness.log.split()[1]))


async def test_programs_end_with_a_killed_supervisor(tmp_path):
    code = f"""
import asyncio, os, sys
from pathlib import Path
from sagakit.ctl.local.child import Program
from sagakit.ctl.local.supervisor import Supervisor

async def main():
    code = "import os; print(os.getpid(), flush=True); " + {IGNORES_SIGTERM!r}
    program = Program("stub", (sys.executable, "-c", code), os.environ, Path({str(tmp_path)!r}) / "stub.log")
    Supervisor(print, 5).add(program, lambda line: print(line, flush=True))
    await asyncio.Event().wait()

asyncio.run(main())
"""
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    supervisor = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, stdout=asyncio.subprocess.PIPE, env=environ
    )
    program = int(await asyncio.wait_for(supervisor.stdout.readline(), WAIT_SECONDS))
    assert is_running(program)

    supervisor.kill()
    await supervisor.communicate()

    await eventually(lambda: not is_running(program))
