"""The language check finds phrases in prose and test names, and leaves code alone."""

from pathlib import Path

import pytest

from tests.language import found


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.py", '"""Whoever calls."""'),
        ("a.py", "x = 1  # it is\n# told so"),
        ("a.py", 'log("the store is away")'),
        ("a.py", 'f"{letters} letters"'),
        ("a.py", "def test_nobody_waits(): pass"),
        ("a.md", "Events in\nhand."),
        ("a.js", "text = 'cannot be had'"),
    ],
)
def test_phrase_is_found(name: str, text: str, tmp_path: Path):
    file = tmp_path / name
    file.write_text(text)

    assert len(found(file)) == 1


@pytest.mark.parametrize("text", ["said = letters[nobody]", 'key = "heard"', "# dead letters are told apart"])
def test_code_keys_and_standard_terms_are_accepted(text: str, tmp_path: Path):
    file = tmp_path / "a.py"
    file.write_text(text)

    assert found(file) == []
