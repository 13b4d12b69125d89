"""The output of child processes, split into lines and made safe for a terminal."""

from sagactl.local.logs import MAX_LINE_BYTES, Lines, tail


def test_lines_are_joined_over_chunks():
    lines = Lines()

    assert lines.feed(b"one\ntw") == ["one"]
    assert lines.feed(b"o\n\nthr") == ["two", ""]
    assert lines.rest() == ["thr"]
    assert lines.rest() == []


def test_endless_line_is_cut():
    lines = Lines()

    pieces = [piece for _ in range(100) for piece in lines.feed(b"x" * 10_000)]

    assert {len(piece) for piece in pieces} == {MAX_LINE_BYTES}
    assert len(pieces) == 1_000_000 // MAX_LINE_BYTES
    assert sum(map(len, lines.rest())) == 1_000_000 % MAX_LINE_BYTES


def test_long_line_in_one_chunk_is_cut():
    assert [len(piece) for piece in Lines().feed(b"x" * (MAX_LINE_BYTES + 1) + b"\n")] == [MAX_LINE_BYTES, 1]


def test_only_colours_of_the_control_codes_pass():
    garbage = b"\x1b[31mred\x1b[0m\ttab\x1b[2Jgone\x07\x00\x9b\xff\r\n"

    assert Lines().feed(garbage) == ["\x1b[31mred\x1b[0m\ttab[2Jgone��"]


def test_tail_is_the_last_lines(tmp_path):
    log = tmp_path / "x.log"
    log.write_bytes(b"".join(b"line %d\n" % n for n in range(100_000)))

    assert tail(log, lines=2) == "  line 99998\n  line 99999"


def test_missing_log_has_a_placeholder(tmp_path):
    assert tail(tmp_path / "none.log") == "(no log)"
