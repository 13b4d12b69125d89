"""The documentation agrees with the code."""

import json
import re
import shlex
from pathlib import Path

import click
import pytest

from contract.messages import to_json
from contract.tickets import RESERVED, CartItem, TicketMessage
from contract.topology import TOPOLOGY
from docs.site import reasons
from rpc.purchase_pb2 import CartItem as CartItemPb
from rpc.purchase_pb2 import OrderTicket
from sagactl.__main__ import main as sagactl
from sagactl.diagram import redrawn

ROOT = Path(__file__).parents[2]
NAMES = ("README.md", "README.ja.md", "AGENTS.md", "llms.txt", "CHANGELOG.md", "SECURITY.md")
DOCS = [*(ROOT / name for name in NAMES), *sorted((ROOT / "docs").rglob("*.md"))]


def anchors(text: str) -> set[str]:
    titles = re.findall(r"^##+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def commands(program: str) -> list[str]:
    """Return every call of `program` in a code block or code span of the documentation."""
    found = set()
    for text in (file.read_text() for file in DOCS if file.name != "CHANGELOG.md"):
        blocks = "\n".join(re.findall(r"```sh\n(.*?)```", text, re.DOTALL)).splitlines()
        spans = [span.replace("\n", " ") for span in re.findall(r"`([^`]+)`", text)]
        found |= {
            m[1]
            for m in (re.match(rf"(?:\.venv/bin/)?({program} [a-z].*)", line) for line in blocks + spans)
            if m
        }
    return sorted(found)


def test_architecture_shows_the_transition_tables():
    architecture = (ROOT / "docs/architecture.md").read_text()

    assert redrawn(architecture) == architecture, "regenerate it: make generate"


def test_diagram_without_a_placeholder_is_an_error():
    with pytest.raises(LookupError):
        redrawn("no placeholder")


def test_reasons_are_those_of_the_code():
    assert reasons.FILE.read_text() == reasons.document(), "regenerate it: make generate"


@pytest.mark.parametrize("reason", ["cart-not-closed", "idempotency-key-reused", "not-published-by"])
def test_reasons_of_every_origin_are_found(reason: str):
    assert f"| `{reason}` |" in reasons.document()


def test_architecture_names_every_topic():
    architecture = (ROOT / "docs/architecture.md").read_text()

    assert TOPOLOGY.dead_letter_topic in architecture
    for topic in TOPOLOGY.topics.values():
        assert topic in architecture


@pytest.mark.parametrize("file", DOCS, ids=lambda file: file.name)
def test_links_have_targets(file: Path):
    for target, _, anchor in (
        link.partition("#") for link in re.findall(r"\]\(([^)\s]+)\)", file.read_text())
    ):
        if not target.startswith("http"):
            found = file.parent / target if target else file
            assert found.exists(), target
            assert not anchor or anchor in anchors(found.read_text()), f"{target}#{anchor}"


@pytest.mark.parametrize("file", DOCS, ids=lambda file: file.name)
def test_named_files_exist(file: Path):
    folders = "kit|client|services|contract|deploy|tests|bench|sagactl|proto|docs|rpc"
    paths = re.findall(rf"`((?:{folders})/[\w/.-]+)`", file.read_text())

    assert [path for path in paths if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("line", commands("sagactl"))
def test_sagactl_commands_exist(line: str):
    words = [word for word in shlex.split(line, comments=True)[1:] if not word.startswith("[")]
    command = sagactl
    while isinstance(command, click.Group) and words:
        command = command.get_command(click.Context(command), words.pop(0))

    assert command is not None
    if "[" not in line and words:
        command.make_parser(click.Context(command)).parse_args(words)


@pytest.mark.parametrize("line", commands("make"))
def test_make_targets_exist(line: str):
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))

    assert line.split()[1] in targets


def test_decisions_are_short_and_named_by_their_titles():
    decisions = sorted((ROOT / "docs/decisions").glob("*.md"))
    assert [each.name[:4] for each in decisions] == [
        f"{number:04}" for number in range(1, len(decisions) + 1)
    ]
    for decision in decisions:
        text = decision.read_text()
        assert text.startswith(f"# {int(decision.name[:4])}. "), decision
        assert decision.name[4] == "-"
        assert len(text.splitlines()) <= 30, decision


def test_event_body_is_the_proto_message_as_json():
    message = TicketMessage("o", RESERVED, (CartItem("blue", 3),), 300, "why")
    proto = OrderTicket(
        orderid="o",
        status=RESERVED,
        cart_items=[CartItemPb(itemid="blue", count=3)],
        amount=300,
        reason="why",
    )

    assert json.loads(message.to_event("e", {}).body) == to_json(proto)
    bare = TicketMessage("o", RESERVED, (CartItem("blue", 3),))
    assert "amount" not in json.loads(bare.to_event("e", {}).body)
    assert set(to_json(OrderTicket())) == {"orderid", "status", "cart_items"}
