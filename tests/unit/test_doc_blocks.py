"""How code blocks of the documentation are found and marked."""

from pathlib import Path

import pytest

from tests.docs.blocks import ROOT, blocks, pages, script, unmarked, unprinted

PAGE = """\
<!-- file: greet.py -->
```python
print("hello, Ada")
```

1. In a list:

   <!-- run -->
   ```sh
   python greet.py
   ```

<!-- prints -->
```text
hello, …
```
"""


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_every_block_runs_or_tells_why_not(page: Path):
    assert [f"{page.name}:{block.line}" for block in unmarked(page.read_text())] == []


def test_blocks_have_their_comments():
    assert [(block.language, block.verb, block.argument) for block in blocks(PAGE)] == [
        ("python", "file", "greet.py"),
        ("sh", "run", ""),
        ("text", "prints", ""),
    ]
    assert blocks(PAGE)[1].text == "python greet.py\n"


@pytest.mark.parametrize("comment", ["", "<!-- run: now -->\n", "<!-- not run -->\n", "<!-- ran -->\n"])
def test_block_without_a_valid_comment_is_found(comment: str):
    assert len(list(unmarked(f"{comment}```sh\ntrue\n```\n"))) == 1


def test_script_writes_files_and_runs_blocks():
    lines = script(PAGE)

    assert "cat >greet.py" in lines
    assert "{ python greet.py\n} >$page/out.10" in lines


@pytest.mark.parametrize(("printed", "missing"), [("hello, Ada\n", []), ("hello\n", ["hello, …"])])
def test_promised_output_is_compared(printed: str, missing: list[str], tmp_path: Path):
    (tmp_path / "out.10").write_text(printed)

    assert unprinted(PAGE, tmp_path) == missing
