"""Statuses, services and causes as JSON, for clients in other languages such as the web UI."""

from collections.abc import Mapping
from typing import Any

from contract.tickets import CAUSES, FAILED, OPEN, PUBLISHED_BY, TERMINAL


def vocabulary() -> Mapping[str, Any]:
    """Return the statuses with their classes, who publishes them, and what causes what."""
    return {
        "services": list(PUBLISHED_BY),
        "statuses": {
            status: {"class": _class_of(status), "terminal": status in TERMINAL}
            for status in sorted(OPEN | TERMINAL)
        },
        "published_by": {service: sorted(statuses) for service, statuses in PUBLISHED_BY.items()},
        "causes": CAUSES,
        "failed": sorted(FAILED),
        "terminal": sorted(TERMINAL),
    }


def _class_of(status: str) -> str:
    return "open" if status in OPEN else "failed" if status in FAILED else "approved"
