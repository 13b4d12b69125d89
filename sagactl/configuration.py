"""Writes docs/configuration.md: every environment variable of every process, from its settings."""

from collections.abc import Iterator
from pathlib import Path

from contract.shop import SHOP
from sagakit.settings import ServiceSettings, Variable, variables
from services.gateway.settings import Settings as Gateway
from services.payment.settings import Settings as Payment
from services.purchase.settings import Settings as Purchase

FILE = Path("docs/configuration.md")

INTRODUCTION = """\
# Configuration

<!-- Written by `make generate` from the settings in the code. -->

Every process reads its environment once, at start. A variable that is missing or invalid ends the process
with exit code 1 and a message that names it, such as `purchase: PORT is not set`; a blank value counts as
missing. `sagactl up` and the manifests in `deploy/k8s` set what is needed.

Traces are configured by OpenTelemetry's own variables, which its SDK reads: `OTEL_TRACES_EXPORTER`,
`OTEL_EXPORTER_OTLP_ENDPOINT` and [the others](https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/).
Options of `sagactl` and the variables they can be set by: `sagactl COMMAND --help`.
"""

SECTIONS: dict[str, type] = {
    "purchase, stock, payment, delivery": ServiceSettings,
    "purchase": Purchase,
    "payment": Payment,
    "gateway": Gateway,
}
_HEAD = ("| variable | default | unit | meaning |", "|---|---|---|---|")


def document() -> str:
    """Return the text of docs/configuration.md."""
    tables = (f"\n## {title}\n\n" + "\n".join(_table(settings)) for title, settings in SECTIONS.items())
    return INTRODUCTION + "\n".join(tables) + "\n"


def _table(settings: type) -> Iterator[str]:
    yield from _HEAD
    seen: set[str] = set()
    for each in variables(settings):
        if each.name in seen:
            continue
        seen.add(each.name)
        yield f"| `{each.name}` | {_default(each)} | {each.unit} | {each.meaning} |"


def _default(variable: Variable) -> str:
    if variable.name == "AUTH_OPERATOR_SCOPE":
        return f"`{SHOP.operator_scope}`"
    if variable.default is None:
        return "**must be set**"
    return f"`{variable.default}`" if variable.default else ""


if __name__ == "__main__":
    FILE.write_text(document())
