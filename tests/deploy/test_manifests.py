"""Every overlay renders to consistent manifests that match the code; planted faults are found."""

import pytest

from tests.deploy import (
    components,
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
from tests.support.manifests import RENDERED, Manifests, rendered

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
    components,
]


@pytest.mark.parametrize("overlay", RENDERED)
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__.rpartition(".")[2])
def test_manifests_have_no_fault(check, overlay):
    assert list(check.check(rendered(overlay))) == []


@pytest.mark.parametrize("fault", FAULTS, ids=str)
def test_planted_fault_is_found(fault: Fault):
    manifests = rendered(fault.overlay)

    fault.plant(manifests)

    assert problems(manifests)


@pytest.mark.parametrize(
    ("name", "text", "instead"),
    [
        ("collector", "receivers: [otlp]", "receivers: [otlps]"),
        ("collector", "processors: [memory_limiter, batch]", "processors: [batch]"),
        ("collector", "processors: [memory_limiter, batch]", "processors: [batch, memory_limiter]"),
        ("collector", "extensions: [health_check]", "extensions: []"),
        ("collector", "endpoint: jaeger:4317", "endpoint: jaeger:4318"),
        ("collector", "endpoint: 0.0.0.0:4317", "endpoint: localhost:4317"),
        ("prometheus", "rule_files: [rules.yaml]", "rule_files: [rules.yml]"),
        ("prometheus", "gateway-metrics]", "gateway]"),
        ("prometheus", "[purchase, ", "["),
        ("prometheus", "port: 9464", "port: 9465"),
        ("grafana", "http://prometheus:9090", "http://prometheus:9091"),
        ("grafana", "path: /etc/dashboards", "path: /etc/dashboard"),
        ("grafana", "isDefault: true", "isDefault: false"),
        ("dashboards", '"saga-orders"', '"orders"'),
    ],
)
def test_fault_in_the_configuration_of_a_component_is_found(name: str, text: str, instead: str):
    manifests = rendered("components")
    (document,) = (
        each for each in manifests.of("ConfigMap") if each["metadata"]["name"].startswith(f"{name}-")
    )
    assert any(text in file for file in document["data"].values())

    document["data"] = {file: data.replace(text, instead, 1) for file, data in document["data"].items()}

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
