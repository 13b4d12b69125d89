"""The shapes of what a version writes: which fields, of which types, and whether always."""

import json
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

RULE = "expand, then contract: docs/releasing.md"
_TYPES = {"NoneType": "null", "dict": "object", "list": "list"}


class Shapes:
    """The fields that were seen in a recording, by path: `OrderTicket.history[].cause`."""

    def __init__(self) -> None:
        self.types: dict[str, set[str]] = defaultdict(set)
        self.times: Counter[str] = Counter()

    def add(self, path: str, value: Any) -> None:
        kind = _type(value)
        self.types[path].add(kind)
        self.times[path] += 1
        if kind == "object":
            for name, each in value.items():
                self.add(f"{path}.{name}", each)
        elif kind == "list":
            for each in value:
                self.add(f"{path}[]", each)

    def is_always_there(self, path: str) -> bool:
        """Whether each object of its kind had the field."""
        return path.endswith("[]") or self.times[path] == self.times[_parent(path)]


def shapes_of(*directories: Path) -> Shapes:
    """Return the shapes of the entities, events and answers of recordings."""
    found = Shapes()
    for directory in directories:
        for name, add in (("commits", _entity), ("events", _event), ("answers", _answer)):
            for line in (directory / f"{name}.jsonl").read_text().splitlines():
                add(found, json.loads(line))
    return found


def breaks(
    old: Shapes, new: Shapes, read_since: Collection[str] = (), optional_since: Collection[str] = ()
) -> Iterator[str]:
    """Yield what a version that writes `new` breaks for processes of a release that wrote `old`.

    `read_since`: new fields that the release's readers know already; `optional_since`: fields that they do
    not need.
    """
    for path in sorted(old.types.keys() | new.types.keys()):
        parent = _parent(path)
        if path not in new.types:
            if parent in new.types and path not in optional_since:
                yield f"{path} is not written any more, but the release reads it ({RULE})"
        elif path not in old.types:
            if parent in old.types and path not in read_since:
                yield f"{path} is written before its readers were released ({RULE})"
        else:
            if more := new.types[path] - old.types[path]:
                yield f"{path} is now {_listed(more)}, which the release never wrote ({RULE})"
            if path not in optional_since and old.is_always_there(path) and not new.is_always_there(path):
                yield f"{path} is not always written any more, but the release may need it ({RULE})"


def _entity(shapes: Shapes, line: Any) -> None:
    kind, _, entity = line
    if entity is not None:
        what = next(iter(entity.get("request", {})), "") if kind.endswith("ReceivedEvent") else ""
        shapes.add(f"{kind} {what}".rstrip(), entity)


def _event(shapes: Shapes, line: Any) -> None:
    topic, attributes, body = line
    shapes.add(topic.replace(".", "-"), {"attributes": attributes, "body": json.loads(body)})


def _answer(shapes: Shapes, answer: Mapping[str, Any]) -> None:
    path, _, verb = answer["path"].partition(":")
    _, version, resource, *rest = path.split("/")
    names = [part if number % 2 else "{}" for number, part in enumerate(rest)]
    what = f"{answer['method']} {'/'.join(['', version, resource, *names])}{verb and f':{verb}'}"
    if names[-1:] == ["events"]:
        for line in answer["body"].splitlines():
            if line.startswith("data: "):
                shapes.add(f"{what} data", json.loads(line.removeprefix("data: ")))
    else:
        shapes.add(what, json.loads(answer["body"]))


def _type(value: Any) -> str:
    if isinstance(value, dict) and len(value) == 1 and next(iter(value)).startswith("$"):
        return next(iter(value)).removeprefix("$")
    name = type(value).__name__
    return _TYPES.get(name, name)


def _parent(path: str) -> str:
    if path.endswith("[]"):
        return path.removesuffix("[]")
    parent, dot, _ = path.rpartition(".")
    return parent if dot else path


def _listed(types: Collection[str]) -> str:
    return " or ".join(sorted(types))
