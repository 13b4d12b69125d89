"""Topics and subscriptions as the topology wants them."""

import pytest

from contract import topology
from sagactl.errors import CannotRun
from sagactl.provision import provision, subscription_specs, topics


async def test_provisioning_can_be_repeated(tmp_path):
    environ = {"BACKEND": "embedded", "EMBEDDED_FILE": str(tmp_path / "embedded.sqlite3")}

    first = await provision(environ)

    assert await provision(environ) == first
    assert "subscription stock-service.com.example.purchase of com.example.purchase" in first


def test_every_subscription_has_dead_letters_but_their_own():
    specs = {spec.name: spec for spec in subscription_specs()}

    assert specs.pop("dead-letter").dead_letter_topic is None
    assert {spec.dead_letter_topic for spec in specs.values()} == {"com.example.dead-letter"}
    assert specs.keys() == topology.subscriptions().keys()


def test_every_topic_that_is_subscribed_to_is_made():
    assert {spec.topic for spec in subscription_specs()} <= set(topics())


async def test_an_environment_that_names_no_backend_is_refused():
    with pytest.raises(CannotRun, match="GOOGLE_CLOUD_PROJECT is not set"):
        await provision({"BACKEND": "gcp"})
