"""Writes docs/reference/events.md and asyncapi.json: the events, from the declared services."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from contract.asyncapi import document

FOLDER = Path(__file__).parents[1] / "reference"

INTRODUCTION = """\
# Events

<!-- Written by `make generate` from the code. -->

What the services publish to Pub/Sub, as [asyncapi.json](asyncapi.json) describes it for tools
(AsyncAPI 3.0). The gateway serves that document at `/asyncapi.json`. How events are delivered and applied is
part of the [architecture](../architecture.md).
"""
NO_CHANNEL_BINDING = """
The document has no channel bindings: that of Pub/Sub must name a schema resource, and these topics have none.
"""


def files() -> dict[Path, str]:
    """Return the text of each file."""
    events = document()
    return {
        FOLDER / "asyncapi.json": json.dumps(events, indent=2) + "\n",
        FOLDER / "events.md": page(events),
    }


def page(events: dict[str, Any]) -> str:
    """Return the page of an AsyncAPI document."""
    schemas = events["components"]["schemas"]
    sections = [
        INTRODUCTION + NO_CHANNEL_BINDING,
        "\n## Channels\n\n| channel | topic | messages | published by | received by |\n",
        "|---|---|---|---|---|\n",
        *_channels(events),
        f"\n## Attributes\n\n{schemas['EventHeaders']['description']}\n\n",
        *_fields(schemas["EventHeaders"]),
        "\nA dead letter has the attributes of the message that failed, and these:\n\n",
        *_fields(events["components"]["messages"]["deadLetter"]["headers"]),
        "\n## Messages\n",
        *(
            text
            for name, message in events["components"]["messages"].items()
            for text in _message(name, message)
        ),
        "\n## Payloads\n",
    ]
    for name, schema in schemas.items():
        if name != "EventHeaders":
            sections += [f"\n### {name}\n\n", *_fields(schema)]
    return "".join(sections)


def _channels(events: dict[str, Any]) -> Iterator[str]:
    for name, channel in events["channels"].items():
        operations = [
            (operation["action"], operation["tags"][0]["name"])
            for operation in events["operations"].values()
            if operation["channel"]["$ref"] == f"#/channels/{name}"
        ]
        senders, receivers = (
            ", ".join(each for action, each in operations if action == wanted)
            for wanted in ("send", "receive")
        )
        messages = ", ".join(f"`{each}`" for each in channel.get("messages", {}))
        yield f"| {name} | `{channel['address']}` | {messages} | {senders} | {receivers} |\n"


def _message(name: str, message: dict[str, Any]) -> Iterator[str]:
    yield f"\n### {message['title']}\n\n`{name}`\n"
    own = [part["properties"] for part in message["headers"].get("allOf", ()) if "properties" in part]
    if own and len(own[0]) > 1:
        yield "\nAttributes of its own:\n\n"
        yield from _fields({"properties": {each: own[0][each] for each in own[0] if each != "type"}})
    for part in message["payload"].get("allOf", ()):
        if "$ref" in part:
            target = part["$ref"].rpartition("/")[2]
            yield f"\nPayload: [{target}](#{target.lower()})"
        else:
            values = part["properties"]["status"]["enum"]
            yield f", with the status {', '.join(f'`{value}`' for value in values)}.\n"


def _fields(schema: dict[str, Any]) -> Iterator[str]:
    required = schema.get("required", ())
    yield "| name | value | meaning |\n|---|---|---|\n"
    for name, field in schema["properties"].items():
        shown = f"`{name}`" if name in required else f"`{name}`, optional"
        yield f"| {shown} | {_value(field)} | {field.get('description', '')} |\n"


def _value(field: dict[str, Any]) -> str:
    if "const" in field:
        return f"`{field['const']}`"
    if "$ref" in field:
        return field["$ref"].rpartition("/")[2]
    if field["type"] == "array":
        return f"at most {field['maxItems']} of {_value(field['items'])}"
    if "minimum" in field:
        return f"{field['type']} from {field['minimum']} to {field['maximum']}"
    limit = f", at most {field['maxLength']} characters" if "maxLength" in field else ""
    return field.get("format", field["type"]) + limit


if __name__ == "__main__":
    for file, text in files().items():
        file.write_text(text)
