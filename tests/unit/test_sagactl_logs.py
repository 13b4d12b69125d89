"""The output of child processes, split into lines and made safe for a terminal."""

from sagactl.local.logs import MAX_LINE_BYTES, Lines, tail


def test_lines_come_whole_however_the_bytes_were_cut():
    lines = Lines()

    assert lines.feed(b"one\ntw") == ["one"]
    assert lines.feed(b"o\n\nthr") == ["two", ""]
    assert lines.rest() == ["thr"]
    assert lines.rest() == []


def test_a_line_without_an_end_is_cut_and_never_piles_up():
    lines = Lines()

    units = [piece for _ in range(100) for piece in lines.feed(b"x" * 10_000)]

    assert {len(piece) for piece in units} == {MAX_LINE_BYTES}
    assert len(units) == 1_000_000 // MAX_LINE_BYTES
    assert sum(map(len, lines.rest())) == 1_000_000 % MAX_LINE_BYTES


def test_a_long_line_that_comes_at_once_is_cut_as_well():
    assert [len(piece) for piece in Lines().feed(b"x" * (MAX_LINE_BYTES + 1) + b"\n")] == [MAX_LINE_BYTES, 1]


def test_colours_pass_and_whatever_else_upsets_a_terminal_does_not():
    garbage = b"\x1b[31mred\x1b[0m\ttab\x1b[2Jgone\x07\x00\x9b\xff\r\n"

    assert Lines().feed(garbage) == ["\x1b[31mred\x1b[0m\ttab[2Jgone��"]


def test_the_tail_of_a_log_is_its_last_lines(tmp_path):
    log = tmp_path / "x.log"
    log.write_bytes(b"".join(b"line %d\n" % n for n in range(100_000)))

    assert tail(log, lines=2) == "  line 99998\n  line 99999"


def test_a_log_that_is_not_there_has_a_tail_all_the_same(tmp_path):
    assert tail(tmp_path / "none.log") == "(no log)"
