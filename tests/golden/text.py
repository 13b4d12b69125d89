"""Converts recordings into reproducible text: ids, times and hashes become placeholders."""

import json
import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
PATTERNS = (
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z"), "<time>"),
    (re.compile(r"""(owner_digest\\*": \\*")[0-9a-f]{32}"""), r"\1<owner digest>"),
    (re.compile(r"\b00-[0-9a-f]{32}-[0-9a-f]{16}-0[0-3]\b"), "<traceparent>"),
    (re.compile(r'("trace_id": ?")[0-9a-f]{32}'), r"\1<trace_id>"),
    (re.compile(r"127\.0\.0\.1:\d{4,5}"), "<address>"),
)
DAY_SECONDS = 24 * 3600
UNSEEN = {"description", "summary", "title", "example", "examples", "tags", "operationId", "info", "openapi"}


class Names:
    """Readable names of ids; an id without one is any other id."""

    def __init__(self) -> None:
        self.of: dict[str, str] = {}

    def __call__(self, text: str) -> str:
        text = UUID.sub(lambda found: self.of.get(found[0], "<id>"), text)
        for pattern, placeholder in PATTERNS:
            text = pattern.sub(placeholder, text)
        return text


def stored(kind: str, name: str, entity: Mapping[str, Any], now: float, names: Names, exact: bool) -> str:
    """Return an entity as one line; if `exact`, due and expiry times are shown in tens of seconds."""
    text = json.dumps({key: _value(value, key, now, exact) for key, value in entity.items()})
    text = re.sub(r'"shard": \d+', '"shard": "<shard>"', text)
    if kind == "StockShard" and name.startswith(("blue", "red")):  # the shard is random
        name, text = name.partition(":")[0] + ":<shard>", re.sub(r": \d+", ': "<units>"', text)
    return names(f"{kind} {name} {text}")


def _value(value: Any, key: str, now: float, exact: bool) -> Any:  # noqa: PLR0911 - a case for each type
    if isinstance(value, Mapping):
        return {inner: _value(each, inner, now, exact) for inner, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_value(each, key, now, exact) for each in value]
    match key, value:
        case _, datetime():
            return {"datetime": _after(value.timestamp(), now, exact)}
        case _, bytes():
            return {"bytes": value.decode()}
        case "due", str():
            shard, _, milliseconds = value.partition(":")
            form = f"{len(shard)}:{len(milliseconds)} digits"
            return f"<{form}: {_after(int(milliseconds) / 1000, now, exact)}>"
        case "repeats", int() if value:
            return "<n>"
        case _, float() if abs(value - now) < DAY_SECONDS:
            return "<time: float>"
    return value


def _after(moment: float, now: float, exact: bool) -> str:
    return f"now + {round((moment - now) / 10) * 10} s" if exact else "later"


def openapi(document: Any) -> list[str]:
    """Return the constraints of an OpenAPI document, one per line, references resolved, no descriptions."""
    operations = [
        f"{method.upper()} {path} operationId {each.get('operationId')}"
        for path, methods in document["paths"].items()
        for method, each in methods.items()
    ]
    promised = {name: each for name, each in document.items() if name != "components"}
    schemes = document["components"].get("securitySchemes", {})
    return sorted({*operations, *_lines({**promised, "securitySchemes": schemes}, document, "")})


def _lines(node: Any, document: Any, path: str, names: bool = False) -> Iterator[str]:
    if isinstance(node, dict) and "$ref" in node:
        found = document
        for step in node["$ref"].removeprefix("#/").split("/"):
            found = found[step]
        yield from _lines(found, document, path)
    elif isinstance(node, dict):
        for key, each in node.items():
            if key == "application/problem+json":  # the same everywhere: written once
                yield f"{path} {key}"
                yield from _lines(each, document, key)
            elif names or key not in UNSEEN:
                yield from _lines(each, document, f"{path} {key}", names=key == "properties")
    elif isinstance(node, list) and node:
        for number, each in enumerate(node):
            parameter = isinstance(each, dict) and "in" in each
            where = f"{each['in']}:{each['name']}" if parameter else number if isinstance(each, dict) else ""
            yield from _lines(each, document, f"{path} {where}".rstrip())
    else:
        # To JSON 1.0 and 1 are the same number.
        value = int(node) if isinstance(node, float) and node.is_integer() else node
        yield f"{path} = {json.dumps(value)}".strip()
