"""Check that prose uses plain, standard terms (docs/glossary.md): `python -m tests.language [PATH…]`.

In Python it reads docstrings, comments, strings and the names of tests; in other files all text. The
phrases are in language.toml, with exceptions and their reasons.
"""

import fnmatch
import io
import re
import subprocess
import sys
import tokenize
import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent
SUFFIXES = {".css", ".html", ".js", ".json", ".md", ".proto", ".py", ".toml", ".yaml", ".yml", ""}
SKIPPED = (
    "rpc/*",
    "*.pb",
    "tests/golden/*.json",
    "tests/language*",
    "*/test_language.py",
    "LICENSE",
    "*/LICENSE",
    "services/gateway/swagger_ui/swagger-ui*",
)

CONFIG = tomllib.loads(ROOT.joinpath("tests/language.toml").read_text())
GAP = r"[\s#*>\"']+"
FOUND = re.compile(
    "|".join(
        rf"(?P<p{i}>(?<![\w-])(?:{p.replace('~', GAP)})(?![\w-]))" for i, p in enumerate(CONFIG["rejected"])
    ),
    re.IGNORECASE,
)
INSTEAD = list(CONFIG["rejected"].values())


def prose(path: Path, text: str) -> str:
    """Return `text` with everything that is not prose replaced, each character by one, line breaks kept."""
    if path.suffix != ".py":
        return text
    lines = [re.sub(r"\S", "\0", line) for line in text.splitlines(keepends=True)]
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        name = token.type == tokenize.NAME and token.string.startswith(("test_", "Test"))
        if not name and tokenize.tok_name[token.type] not in {"COMMENT", "STRING", "FSTRING_MIDDLE"}:
            continue
        if token.type == tokenize.STRING and " " not in token.string:  # a key or an identifier
            continue
        (row, column), shown = token.start, token.string.replace("_", " ") if name else token.string
        if shown[0] in "fF":
            shown = re.sub(r"\{[^{}]*\}", lambda found: "\0" * len(found[0]), shown)
        for line in shown.splitlines(keepends=True):
            lines[row - 1] = lines[row - 1][:column] + line + lines[row - 1][column + len(line) :]
            row, column = row + 1, 0
    return "".join(lines)


def found(path: Path) -> list[tuple[int, str, str, str]]:
    """Return line number, words, advice and the whole line for everything found in `path`."""
    text = path.read_text(encoding="utf-8")
    lines = text.splitlines()
    matches = ((text.count("\n", 0, m.start()), m) for m in FOUND.finditer(prose(path, text)))
    return [
        (n + 1, " ".join(m[0].split()), INSTEAD[int((m.lastgroup or "p0")[1:])], lines[n]) for n, m in matches
    ]


def files(arguments: list[str]) -> list[str]:
    """Return the files under version control that are checked, all or those below `arguments`."""
    command = ["git", "ls-files", "--", *arguments]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.splitlines()
    names = [name for name in listed if Path(name).suffix in SUFFIXES and ROOT.joinpath(name).is_file()]
    return [name for name in names if not any(fnmatch.fnmatch(name, skipped) for skipped in SKIPPED)]


def main(arguments: list[str]) -> int:
    allowed = CONFIG["allowed"]
    unused = set() if arguments else set(range(len(allowed)))
    failed = 0
    for name in files(arguments):
        for line, words, advice, whole in found(ROOT / name):
            hits = [
                i for i, a in enumerate(allowed) if fnmatch.fnmatch(name, a["path"]) and a["text"] in whole
            ]
            unused.difference_update(hits)
            if not hits:
                failed += 1
                print(f"{name}:{line}: {words!r}: {advice}")  # noqa: T201
    for i in unused:
        print(f"tests/language.toml: not needed any more: {allowed[i]}")  # noqa: T201
    return 1 if failed or unused else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
