"""The runbook lists every warning, error and alarm, and no others."""

import ast
import re
from collections import defaultdict
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
RUNBOOK = (ROOT / "docs/runbook.md").read_text()
LEVELS = {"warning": "warning", "error": "error", "exception": "error"}


def problems():
    """Return the messages that the code logs as warnings or errors, with their levels."""
    found = defaultdict(set)
    for path in [*(ROOT / "kit/sagakit").rglob("*.py"), *(ROOT / "services").rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.Call(ast.Attribute(ast.Name("log"), level), [ast.Constant(event), *_]) if (
                    level in LEVELS
                ):
                    found[event].add(LEVELS[level])
    return dict(found)


def listed():
    rows = re.findall(r"^\| `([^`]+)` \| (warning|error|warning, error) \| \[", RUNBOOK, re.MULTILINE)
    return {event: set(levels.split(", ")) for event, levels in rows}


def alarms():
    """Return severity and runbook link of every alarm."""
    groups = yaml.safe_load((ROOT / "deploy/monitoring/rules.yaml").read_text())["groups"]
    rules = [rule for group in groups for rule in group["rules"] if "alert" in rule]
    return {rule["alert"]: (rule["labels"]["severity"], rule["annotations"]["runbook_url"]) for rule in rules}


def listed_alarms():
    rows = re.findall(r"^\| `([^`]+)` \| (page|ticket) \| \[[^]]+\]\((#[^)]+)\) \|", RUNBOOK, re.MULTILINE)
    return {alarm: (severity, f"docs/runbook.md{anchor}") for alarm, severity, anchor in rows}


def anchors():
    titles = re.findall(r"^## (.+)$", RUNBOOK, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def test_lists_every_logged_warning_and_error():
    assert listed() == problems()


def test_lists_every_alarm_with_its_link():
    assert listed_alarms() == alarms()
    assert {anchor.partition("#")[2] for _, anchor in alarms().values()} <= anchors()


def test_every_section_has_meaning_and_fix():
    sections = re.split(r"^## ", RUNBOOK, flags=re.MULTILINE)[2:]

    for section in sections:
        assert "**Fix.**" in section or "| fix |" in section, section.splitlines()[0]
        assert "**Meaning.**" in section or "| meaning |" in section, section.splitlines()[0]


def test_lists_every_dead_letter_reason():
    source = "".join(
        path.read_text()
        for package in ("kit/sagakit", "contract", "services")
        for path in (ROOT / package).rglob("*.py")
    )
    reasons = set(re.findall(r'raise Poison\(f?"([a-z-]+)', source))

    assert {"unknown-order", "malformed-ticket"} < reasons
    assert all(f"`{reason}`" in RUNBOOK for reason in reasons), reasons
