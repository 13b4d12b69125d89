#!/usr/bin/env python3
"""A `gcloud` that keeps, in the directory FAKE_GCLOUD, what was made, and a list of what it was told."""

import json
import os
import sys
from pathlib import Path

VERBS = (
    "create",
    "describe",
    "delete",
    "update",
    "enable",
    "add-iam-policy-binding",
    "remove-iam-policy-binding",
)


def main(words: list[str]) -> int:
    """The exit status; messages go where gcloud's go."""
    state = Path(os.environ["FAKE_GCLOUD"])
    with (state / "calls").open("a") as calls:
        calls.write(json.dumps(words) + "\n")
    if words[:2] == ["projects", "describe"]:
        sys.stdout.write("1234567890\n")
        return 0
    verb = next(word for word in words if word in VERBS)
    thing = state / _name(words, verb)
    if verb in ("describe", "update", "delete") and "ttls" not in words and "subnets" not in words:
        if not thing.exists():
            return _complain(f"NOT_FOUND: {thing.name}")
        if verb == "delete":
            thing.unlink()
    if verb == "create" and "identity" not in words:
        if thing.exists():
            return _complain(f"ALREADY_EXISTS: {thing.name}")
        thing.write_text(json.dumps(words))
    return 0


def _name(words: list[str], verb: str) -> str:
    """Of a resource: its group, its name, and what tells it from others of that name."""
    group = words[: words.index(verb)]
    name = [word for word in words[len(group) + 1 :] if not word.startswith("--")]
    telling = [
        word for word in words if word.startswith(("--database=", "--map=", "--type=A", "--type=CNAME"))
    ]
    return " ".join([*group, *name, *telling]).replace("/", "_")


def _complain(message: str) -> int:
    sys.stderr.write(f"ERROR: (gcloud) {message}\n")
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
