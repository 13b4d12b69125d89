"""The table of metrics in docs/observability.md: `python -m tests.metrics_table` regenerates it."""

import re
from pathlib import Path

from sagakit.telemetry.instruments import Counter, Histogram, Instrument
from tests.support.declared_metrics import DECLARED
from tests.support.metrics import base_name

FILE = Path(__file__).parents[1] / "docs/observability.md"
HEAD = "| metric | of | labels | |\n|---|---|---|---|\n"


def row(instrument: Instrument, of: str) -> str:
    suffix = {Counter: "_total", Histogram: "_count"}.get(type(instrument), "")
    labels = ", ".join(f"`{each.replace('.', '_')}`" for each in instrument.attributes) or "–"
    return f"| `{base_name(instrument)}{suffix}` | {of} | {labels} | {instrument.description} |\n"


def regenerated(text: str) -> str:
    """Return `text` with the rows below HEAD replaced by those of the declared instruments."""
    before, _, after = text.partition(HEAD)
    rows = [row(instrument, of) for of, instruments in DECLARED.items() for instrument in instruments]
    return before + HEAD + "".join(rows) + re.sub(r"\A(\|.*\n)*", "", after)


if __name__ == "__main__":
    FILE.write_text(regenerated(FILE.read_text()))
