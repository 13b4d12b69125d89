"""Writes docs/configuration.md: every environment variable of every process, from its settings."""

from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from contract.shop import SHOP
from contract.topology import TOPOLOGY
from sagakit.settings import ServiceSettings, Variable, variables
from sagakit.topology import ServiceDeclaration
from services.gateway.settings import Settings as Gateway

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


def _settings_of(service: ServiceDeclaration) -> type | None:
    """Return the settings of a service's own, if it has any."""
    name = f"{service.import_name}.settings"
    settings: type | None = getattr(import_module(name), "Settings", None) if find_spec(name) else None
    return settings


OWN = {each.name: settings for each in TOPOLOGY.services if (settings := _settings_of(each))}
SECTIONS: dict[str, type] = {"Every service": ServiceSettings, **OWN, "gateway": Gateway}
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
