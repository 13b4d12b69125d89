"""Log lines: one write for each turn of the event loop, and none lost."""

import asyncio
import subprocess
import sys
import threading
from io import StringIO

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
