"""Every overlay renders to consistent manifests that match the code; planted faults are found."""

import pytest

from tests.deploy import (
    contracts,
    environment,
    lifecycle,
    monitoring,
    network,
    ports,
    schedules,
    schemas,
    security,
    selectors,
)
from tests.deploy.planted import FAULTS, Fault
from tests.support.manifests import OVERLAYS, Manifests, rendered

CHECKS = [
    schemas,
    selectors,
    ports,
    environment,
    contracts,
    network,
    lifecycle,
    monitoring,
    schedules,
    security,
]


@pytest.mark.parametrize("overlay", OVERLAYS)
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__.rpartition(".")[2])
def test_manifests_have_no_fault(check, overlay):
    assert list(check.check(rendered(overlay))) == []


@pytest.mark.parametrize("fault", FAULTS, ids=str)
def test_planted_fault_is_found(fault: Fault):
    manifests = rendered(fault.overlay)

    fault.plant(manifests)

    assert problems(manifests)


def problems(manifests: Manifests) -> list[str]:
    """Return the findings of all checks. A check that fails counts: such manifests are not applied either."""
    found: list[str] = []
    for check in CHECKS:
        try:
            found += check.check(manifests)
        except (KeyError, ValueError, TypeError) as error:
            found.append(f"{check.__name__}: {error!r}")
    return found
