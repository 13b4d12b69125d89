"""Every overlay renders to manifests in which everything fits together, and fits the code."""

import pytest

from tests.deploy import (
    contracts,
    environment,
    lifecycle,
    monitoring,
    network,
    ports,
    schemas,
    security,
    selectors,
)
from tests.support.manifests import OVERLAYS, rendered

CHECKS = [schemas, selectors, ports, environment, contracts, network, lifecycle, monitoring, security]


@pytest.mark.parametrize("overlay", OVERLAYS)
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__.rpartition(".")[2])
def test_the_manifests_are_without_fault(check, overlay):
    assert list(check.check(rendered(overlay))) == []
