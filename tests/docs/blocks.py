"""The code blocks of the documentation, and how each is run: a comment in the line before it tells.

    <!-- run -->                a shell or Python block: must exit with 0
    <!-- run until: TEXT -->    starts the block in the background, and waits until it has printed TEXT
    <!-- file: NAME -->         writes the block into a file
    <!-- prints -->             the lines that the last block to run has printed; `…` stands for any text
    <!-- not run: REASON -->    cannot be run here

The blocks of a page run in order, in one shell, in an empty directory; variables and background jobs are
kept. Blocks in the languages `mermaid` and `text` need no comment. `<!-- with: make run -->` on a page
starts the suite before it; `<!-- with the files of: PAGE -->` writes the files of another one first.
"""

import re
import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
NOT_CODE = {"mermaid", "text"}
WAIT_SECONDS = 120
WITH_THE_SUITE = "<!-- with: make run -->"
WITH_FILES = re.compile(r"<!-- with the files of: (\S+) -->")

_BLOCK = re.compile(
    r"(?:^ *<!-- (?P<comment>[^\n]*?) -->\n)?"
    r"^(?P<indent> *)```(?P<language>\S*)[^\n]*\n(?P<text>.*?)^(?P=indent)```$",
    re.MULTILINE | re.DOTALL,
)
_COMMENT = re.compile(r"(?P<verb>run until|run|file|prints|not run)(?:: (?P<argument>.+))?")
_NEED_ARGUMENT = {"run until", "file", "not run"}


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block of a page."""

    line: int
    """Of its first line, counted from 1."""
    language: str
    text: str
    verb: str | None
    """From the comment before it; None if that is missing or malformed."""
    argument: str


def pages() -> list[Path]:
    """Return every page that a reader is meant to follow."""
    own = [ROOT / name for name in ("README.md", "README.ja.md", "kit/README.md", "client/README.md")]
    return [
        page
        for page in [*own, *ROOT.glob("kit/examples/*/README.md"), *ROOT.glob("docs/**/*.md")]
        if page.exists()
    ]


def blocks(page: str) -> list[Block]:
    """Return the fenced blocks in the text of a page, with the indentation of a list removed."""
    found = []
    for match in _BLOCK.finditer(page):
        comment = _COMMENT.fullmatch(match["comment"] or "")
        verb = comment["verb"] if comment else None
        argument = (comment["argument"] if comment else None) or ""
        if bool(argument) != (verb in _NEED_ARGUMENT):
            verb = None
        text = re.sub(rf"^{match['indent']}", "", match["text"], flags=re.MULTILINE)
        line = page.count("\n", 0, match.start("text")) + 1
        found.append(Block(line, match["language"], text, verb, argument))
    return found


def script(page: str) -> str:
    """Return the shell script that runs a page; it leaves the output of the block in line N in `out.N`."""
    lines = ["set -eu -o pipefail; page=$PWD"]
    if WITH_THE_SUITE in page:
        lines += _start("make run\n", 0, "ready: ")
    for other in WITH_FILES.findall(page):
        lines += [
            _file(block) for block in blocks((ROOT / "docs" / other).read_text()) if block.verb == "file"
        ]
    for block in blocks(page):
        text = block.text
        if block.language == "python" and block.verb == "run":
            text = f"python - <<'END_OF_PYTHON'\n{text}END_OF_PYTHON\n"
        if block.verb == "file":
            lines.append(_file(block))
        elif block.verb == "run until":
            lines += _start(text, block.line, block.argument)
        elif block.verb == "run":
            lines += [
                f"echo line {block.line}",
                f"{{ {text}}} >$page/out.{block.line} 2>&1 || {{ cat $page/out.{block.line}; exit 1; }}",
            ]
    return "\n".join(lines) + "\n"


def unprinted(page: str, directory: Path) -> list[str]:
    """Return the lines that a page promises as output and that its blocks have not printed."""
    missing, output = [], ""
    for block in blocks(page):
        if block.verb in ("run", "run until"):
            output = (directory / f"out.{block.line}").read_text()
        elif block.verb == "prints":
            missing += [
                line for line in block.text.splitlines() if line.strip() and not _printed(line, output)
            ]
    return missing


def unmarked(page: str) -> Iterable[Block]:
    """Return the blocks for which the page does not tell whether and how they run."""
    return [block for block in blocks(page) if block.verb is None and block.language not in NOT_CODE]


def _file(block: Block) -> str:
    name = shlex.quote(block.argument)
    return f"mkdir -p $(dirname {name})\ncat >{name} <<'END_OF_FILE'\n{block.text}END_OF_FILE"


def _start(text: str, line: int, until: str) -> list[str]:
    return [
        f"echo line {line}",
        f"{{ {text}}} >$page/out.{line} 2>&1 & started=$!; deadline=$((SECONDS + {WAIT_SECONDS}))",
        f"until grep -qF {shlex.quote(until)} $page/out.{line}; do",
        f"  kill -0 $started && [ $SECONDS -lt $deadline ] || {{ cat $page/out.{line}; exit 1; }}; sleep 0.1",
        "done",
    ]


def _printed(line: str, output: str) -> bool:
    pattern = ".*".join(map(re.escape, line.strip().split("…")))
    return (
        re.search(rf"{pattern}\s*$" if not line.rstrip().endswith("…") else pattern, output, re.MULTILINE)
        is not None
    )
