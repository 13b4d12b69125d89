"""The documentation of the metrics is what is declared, and what is declared can be borne."""

import re
from pathlib import Path

import pytest

from sagakit.telemetry.instruments import Counter, Histogram, Instrument
from tests.support.metrics import ALL, DECLARED, base_name

ROOT = Path(__file__).parents[2]
UNBOUNDED = ("orderid", "cartid", "itemid", "eventid", "client", "sub", "path", "url")


def row(instrument: Instrument, of: str) -> str:
    suffix = {Counter: "_total", Histogram: "_count"}.get(type(instrument), "")
    labels = ", ".join(f"`{each.replace('.', '_')}`" for each in instrument.attributes) or "–"
    return f"| `{base_name(instrument)}{suffix}` | {of} | {labels} | {instrument.description} |"


def test_the_documentation_lists_every_metric_as_it_is_declared_and_no_other():
    documented = re.findall(r"^\| `[a-z_]+` \|.*\|.*\|.*\|$", section("Metrics"), re.MULTILINE)

    declared = [row(instrument, of) for of, instruments in DECLARED.items() for instrument in instruments]

    assert documented == declared, "the table would be:\n" + "\n".join(declared)


def section(title: str) -> str:
    text = (ROOT / "docs/observability.md").read_text()
    (found,) = re.findall(rf"^## {title}\n(.*?)(?=^## |\Z)", text, re.DOTALL | re.MULTILINE)
    return found


@pytest.mark.parametrize("instrument", ALL, ids=lambda each: each.name)
def test_no_label_could_be_multiplied_by_somebody_else(instrument: Instrument):
    assert not set(instrument.attributes) & set(UNBOUNDED)
    assert len(instrument.description) > 20


def test_no_two_have_the_same_name():
    names = [base_name(instrument) for instrument in ALL]

    assert len(set(names)) == len(names) > 15
