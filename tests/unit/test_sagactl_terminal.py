"""Output to a terminal that may be slow, blocked or closed."""

import os
import time

from sagakit.ctl.local.terminal import Terminal


def read_all(descriptor):
    with os.fdopen(descriptor, "rb") as file:
        return file.read().decode().splitlines()


def test_lines_are_written_in_order():
    reader, writer = os.pipe()
    terminal = Terminal(writer)

    for number in range(1000):
        terminal.print(f"line {number}")
    terminal.close()
    os.close(writer)

    assert read_all(reader) == [f"line {number}" for number in range(1000)]


def test_blocked_reader_does_not_block_the_writer():
    reader, writer = os.pipe()
    terminal = Terminal(writer)
    started_at = time.monotonic()

    for number in range(20_000):
        terminal.print(f"line {number}")
    terminal.close(timeout_seconds=0.05)

    assert time.monotonic() - started_at < 5
    os.close(reader)


def test_dropped_lines_are_counted():
    reader, writer = os.pipe()
    terminal = Terminal(writer)
    for number in range(20_000):
        terminal.print(f"line {number}")

    first = os.read(reader, 1_000_000)
    while len(first.splitlines()) < 6_000:
        terminal.print("more")
        first += os.read(reader, 1_000_000)
    terminal.close()
    os.close(writer)

    assert any("lines left out here" in line for line in [*first.decode().splitlines(), *read_all(reader)])


def test_closed_reader_is_no_error():
    reader, writer = os.pipe()
    os.close(reader)
    terminal = Terminal(writer)

    for _ in range(20_000):
        terminal.print("line")
    terminal.close()

    os.close(writer)
