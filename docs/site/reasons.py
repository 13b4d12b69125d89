"""Writes docs/reference/reasons.md: the machine-readable reasons of failures, from the code."""

import ast
from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path

ROOT = Path(__file__).parents[2]
FILE = ROOT / "docs/reference/reasons.md"
STATUSES = {"NotFound": "404", "FailedPrecondition": "409", "Forbidden": "403", "InvalidArgument": "400"}
"""HTTP status of the errors that services raise with a reason; gRPC has the code of the same name."""
FILLED_IN = "…"

INTRODUCTION = """\
# Reasons of failures

<!-- Written by `make generate` from the code. -->

## Of a response

The `reason` of a problem ([failures](../api.md#failures)), which is also the reason in a gRPC error's
`ErrorInfo`. Reasons are stable; the text may change. Parts in braces, and `…`, are filled in. On the routes
under `/purchase/api` and the like, a 409 of this table is a 400. A failure that the request did not cause has
the name of its kind instead: `contention`, `outcome-unknown`, `unavailable`, `deadline-exceeded`, `internal`.

| reason | status | text |
|---|---|---|
"""

DEAD_LETTERS = """
## Of a dead letter

The attribute `dead_letter_reason`, and the `reason` of log lines and metrics, up to the first colon; details
may follow it. [The runbook](../runbook.md) describes how to find the cause.

| reason | text |
|---|---|
"""


def document() -> str:
    """Return the text of docs/reference/reasons.md."""
    responses: dict[tuple[str, str], str] = {}
    dead_letters: dict[str, str] = {}
    for file in _files("services/gateway", "services", "kit/sagakit", "contract"):
        for name, arguments in _calls(file):
            match name, arguments:
                case (("Problem" | "cls"), [status, reason, text, *_]):
                    responses.setdefault((reason, status), text)
                case "InvalidArgument", [_, text, reason]:
                    responses.setdefault((reason, STATUSES[name]), text)
                case (("NotFound" | "FailedPrecondition" | "Forbidden"), [reason, text, *_]):
                    responses.setdefault((reason, STATUSES[name]), text)
                case "Poison", [reason, *_]:
                    reason, _, details = reason.partition(": ")
                    dead_letters.setdefault(reason, details)
    return (
        INTRODUCTION
        + _rows(responses)
        + DEAD_LETTERS
        + _rows({(key,): text for key, text in dead_letters.items()})
    )


def _rows(texts: Mapping[tuple[str, ...], str]) -> str:
    rows = []
    for key, text in sorted(texts.items()):
        shown = text if text.strip(FILLED_IN + ".") else ""
        if FILLED_IN not in key[0] and "{" not in key[0]:
            rows.append(f"| {' | '.join([f'`{key[0]}`', *key[1:], shown])} |\n")
    return "".join(rows)


def _files(*folders: str) -> list[Path]:
    found = (file for folder in folders for file in sorted((ROOT / folder).rglob("*.py")))
    # No suite that runs gives the reasons of test support.
    found = (file for file in found if "testing" not in file.parts)
    # Of sagactl only the client of the control socket is a part of responses.
    found = (file for file in found if "/sagakit/ctl/" not in str(file) or file.stem == "control_client")
    # Nothing of the test support runs in production.
    return [file for file in dict.fromkeys(found) if "/sagakit/testing/" not in str(file)]


def _calls(file: Path) -> Iterator[tuple[str, list[str]]]:
    """Yield the name of each function that a module calls, and the text of its positional arguments."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            yield (
                node.func.id,
                [_text(argument, file) for argument in node.args if not isinstance(argument, ast.Starred)],
            )


def _text(node: ast.expr, file: Path) -> str:
    """Return the text of an argument, with `{name}` or `…` for each part that is filled in."""
    match node:
        case ast.Constant():
            return str(node.value)
        case ast.JoinedStr():
            return "".join(_text(value, file) for value in node.values)
        case ast.Name() if node.id.isupper():
            relative = file.relative_to(ROOT / "kit" if ROOT / "kit" in file.parents else ROOT)
            return str(getattr(import_module(".".join(relative.with_suffix("").parts)), node.id))
        case ast.FormattedValue(value=ast.Name() as name) if name.id.isupper():
            return _text(name, file)
        case ast.FormattedValue(value=ast.Name(id=name) | ast.Attribute(attr=name)):
            return f"{{{name}}}"
    return FILLED_IN


if __name__ == "__main__":
    FILE.write_text(document())
