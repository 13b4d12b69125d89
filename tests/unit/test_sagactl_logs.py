"""The output of child processes, split into lines and made safe for a terminal."""

import asyncio

import pytest

from sagakit.ctl.local.logs import MAX_LINE_BYTES, last_lines, printable, read_line, tail


@pytest.mark.parametrize(
    ("output", "lines"),
    [
        (b"one\ntwo\n\nthr", [b"one\n", b"two\n", b"\n", b"thr"]),
        (b"x" * (MAX_LINE_BYTES + 1) + b"\n", [b"x" * MAX_LINE_BYTES, b"x\n"]),
        (b"x" * 100 * MAX_LINE_BYTES + b"yy", [*[b"x" * MAX_LINE_BYTES] * 100, b"yy"]),
    ],
    ids=["lines", "long line", "endless line"],
)
async def test_output_is_read_in_bounded_lines(output, lines):
    reader = asyncio.StreamReader(limit=MAX_LINE_BYTES)
    reader.feed_data(output)
    reader.feed_eof()

    assert [await read_line(reader) for _ in lines] == lines
    assert await read_line(reader) == b""


def test_control_codes_are_shown_as_escapes():
    garbage = b"\x1b[31mred\x1b[0m\ttab\x1b[2J\x07\x00\xc2\x9b\xff\xe2\x80\xae\r"

    assert printable(garbage) == ("\\x1b[31mred\\x1b[0m    tab\\x1b[2J\\x07\\x00\\x9b\ufffd\\u202e")


def test_tail_is_the_last_lines(tmp_path):
    log = tmp_path / "x.log"
    log.write_bytes(b"".join(b"line %d\n" % n for n in range(100_000)))

    assert tail(log, lines=2) == "  line 99998\n  line 99999"


def test_last_lines_are_whole_however_many_there_are(tmp_path):
    log = tmp_path / "x.log"
    written = [f"{number} {'x' * 500}" for number in range(1_000)]
    log.write_text("\n".join(written) + "\n")

    assert last_lines(log, 900) == written[-900:]
    assert last_lines(log, 2_000) == written


def test_endless_line_is_not_read_as_a_whole(tmp_path):
    log = tmp_path / "x.log"
    log.write_bytes(b"x" * 100 * MAX_LINE_BYTES)

    (line,) = last_lines(log, 3)

    assert 0 < len(line) < 10 * MAX_LINE_BYTES


def test_missing_log_has_a_placeholder(tmp_path):
    assert tail(tmp_path / "none.log") == "(no log)"
