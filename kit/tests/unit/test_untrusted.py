"""JSON and text from outside: every input has a defined outcome."""

import pytest

from sagakit.untrusted import escape, parse_json


@pytest.mark.parametrize(
    "data",
    [
        b"[" * 100_000,
        b'{"a":' * 100_000,
        "[" * 100_000,
        b"9" * 100_000,
        b'{"a": ' + b"9" * 5_000 + b"}",
        b"\xff\xfe",
        b'"\xff"',
        b"\xef\xbb\xbf{",
        b"",
        b"{",
        b"NaN NaN",
        "\ud800",
    ],
)
def test_whatever_is_no_json_is_a_value_error(data):
    with pytest.raises(ValueError, match=r"."):
        parse_json(data)


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b'{"a": 1, "a": 2}', {"a": 2}),
        (b'"\\ud800"', "\ud800"),
        (b"Infinity", float("inf")),
        (b"[" * 100 + b"]" * 100, None),
    ],
)
def test_odd_json_is_parsed(data, value):
    found = parse_json(data)

    assert value is None or found == value


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("", ""),
        ("order-1 (größe: 3 €) 注文 🎉", "order-1 (größe: 3 €) 注文 🎉"),
        ("a\nb\r\tc", "a\\nb\\r\\tc"),
        ("\x1b]0;title\x07\x1b[31mred", "\\x1b]0;title\\x07\\x1b[31mred"),
        ("\x9b2J\x85", "\\x9b2J\\x85"),
        ("\u202eabc\u2066\u200f", "\\u202eabc\\u2066\\u200f"),
        ("\u2028\u2029", "\\u2028\\u2029"),
        ("\ud800\x00\U000e0001", "\\ud800\\x00\\U000e0001"),
        ("C:\\new 'it' \"s\"", "C:\\new 'it' \"s\""),
    ],
)
def test_unprintable_characters_are_shown_as_escapes(text, escaped):
    assert escape(text) == escaped
    assert escape(escaped) == escaped
    escape(text).encode()
