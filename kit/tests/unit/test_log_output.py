"""Log lines: one write for each turn of the event loop, and none lost."""

import asyncio
import itertools
import subprocess
import sys
import threading
from io import StringIO
from types import FrameType
from typing import Any

from sagakit.telemetry import log_output
from sagakit.telemetry.log_output import LogOutput


class Writes(StringIO):
    def __init__(self) -> None:
        super().__init__()
        self.writes: list[str] = []

    def write(self, text: str) -> int:
        self.writes.append(text)
        return len(text)


def line(output: LogOutput, text: str) -> None:
    output.write(text + "\n")
    output.flush()


async def test_lines_of_one_turn_are_one_write():
    file = Writes()
    output = LogOutput(file)

    for text in "abc":
        line(output, text)
    assert file.writes == []
    await asyncio.sleep(0)
    line(output, "d")
    await asyncio.sleep(0)

    assert file.writes == ["a\nb\nc\n", "d\n"]


async def test_line_of_another_thread_is_written_at_once_after_those_before_it():
    file = Writes()
    output = LogOutput(file)
    line(output, "turn")

    thread = threading.Thread(target=line, args=(output, "thread"))
    thread.start()
    thread.join()

    assert file.writes == ["turn\nthread\n"]


def interrupted(step: int) -> tuple[bool, list[str]]:
    """Write two lines, and let another thread write what there is just before a step, a line of code.

    Return whether there was such a step, and what was written.
    """
    file = Writes()
    output = LogOutput(file)
    output.write("a\n")
    output.write("b\n")
    steps, was_reached = itertools.count(), False

    def trace(frame: FrameType, event: str, _: object) -> Any:
        nonlocal was_reached
        if frame.f_code.co_filename != log_output.__file__:
            return None
        if event == "line" and next(steps) == step:
            was_reached = True
            thread = threading.Thread(target=output.flush)
            thread.start()
            thread.join()
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        output.flush()
    finally:
        sys.settrace(before)
    return was_reached, sorted("".join(file.writes).split())


def test_threads_that_write_at_the_same_time_lose_no_line():
    """They take lines from each other: one finds none where there was one a moment ago."""
    steps = [interrupted(step) for step in range(30)]

    assert [lines for _, lines in steps] == [["a", "b"]] * 30
    assert 8 < sum(was_reached for was_reached, _ in steps) < 30


def test_line_without_a_loop_is_written_at_once():
    file = Writes()
    line(LogOutput(file), "a")
    assert file.writes == ["a\n"]


async def written(output: LogOutput, text: str) -> None:
    line(output, text)


def test_lines_of_a_loop_that_ended_are_not_held_back():
    file = Writes()
    output = LogOutput(file)
    for text in "ab":
        asyncio.run(written(output, text))
    line(output, "c")

    assert "".join(file.writes) == "a\nb\nc\n"


def test_lines_of_the_last_turn_are_written_when_the_process_ends():
    program = """
import asyncio, sys
from sagakit.telemetry.log_output import LogOutput

async def main():
    output = LogOutput(sys.stdout)
    output.write("at the end\\n")
    output.flush()
    sys.exit(3)

asyncio.run(main())
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (3, "at the end\n")
