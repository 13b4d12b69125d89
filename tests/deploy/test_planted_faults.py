"""The checks see what they are there for: every single fault planted in good manifests is found."""

import pytest

from tests.deploy.planted import FAULTS, Fault
from tests.deploy.test_manifests import CHECKS
from tests.support.manifests import Manifests, rendered


@pytest.mark.parametrize("fault", FAULTS, ids=str)
def test_a_planted_fault_is_found(fault: Fault):
    manifests = rendered(fault.overlay)

    fault.plant(manifests)

    assert found(manifests)


@pytest.mark.parametrize("topics", ["com.example.stock", "com.example.purchase,com.example.stock", ""])
@pytest.mark.parametrize(
    "variable", ["EVENT_SUBSCRIBE_TOPICS", "EVENT_PUBLISH_TOPIC", "EVENT_DEAD_LETTER_TOPIC"]
)
def test_a_service_that_is_told_other_topics_is_found(variable: str, topics: str):
    manifests = rendered("gke")
    (told,) = (each for each in manifests.of("ConfigMap") if each["metadata"]["name"].startswith("delivery-"))

    told["data"][variable] = topics

    assert found(manifests)


@pytest.mark.parametrize("variable", ["GOOGLE_CLOUD_PROJECT", "DATASTORE_DATABASE", "PUBSUB_EMULATOR_HOST"])
def test_a_backend_that_is_named_wrongly_is_found(variable: str):
    overlay = "local" if variable == "PUBSUB_EMULATOR_HOST" else "gke"
    manifests = rendered(overlay)
    (told,) = (each for each in manifests.of("ConfigMap") if each["metadata"]["name"].startswith("backend-"))

    told["data"][variable] = "elsewhere:8080"

    assert found(manifests)


@pytest.mark.parametrize("variable", ["AUTH_ISSUER", "AUTH_AUDIENCE", "ENVIRONMENT"])
def test_a_production_that_would_run_open_or_not_at_all_is_found(variable: str):
    manifests = rendered("gke")
    maps = manifests.of("ConfigMap")
    (told,) = (each for each in maps if each["metadata"]["name"].startswith("authentication-"))

    del told["data"][variable]

    assert found(manifests)


def test_a_backlog_of_somebody_else_is_found():
    manifests = rendered("gke")
    autoscaler = manifests.find("HorizontalPodAutoscaler", "stock")

    selector = autoscaler["spec"]["metrics"][1]["external"]["metric"]["selector"]
    selector["matchLabels"]["resource.labels.subscription_id"] = "stock-service.com.example.payment"

    assert found(manifests)


def found(manifests: Manifests) -> list[str]:
    """What any layer says, a check that cannot go on included: such manifests are not applied either."""
    problems: list[str] = []
    for check in CHECKS:
        try:
            problems += check.check(manifests)
        except (KeyError, ValueError, TypeError) as error:
            problems.append(f"{check.__name__}: {error!r}")
    return problems
