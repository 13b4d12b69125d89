"""Topics and subscriptions as the topology wants them."""

import asyncio
import os

import pytest

from contract import topology
from sagactl.cli.provision import (
    ensure_provisioned,
    keep_provisioned,
    provision_with_retries,
    subscription_specs,
    topics,
)
from sagactl.errors import CommandError
from sagactl.local.emulators import PUBSUB, running, why_unavailable
from sagactl.local.ports import free_ports
from sagakit.backends import open_provisioner
from sagakit.backends.embedded import queue
from sagakit.backends.embedded.database import Database
from tests.support.eventually import eventually


async def test_provisioning_can_be_repeated(tmp_path):
    environ = {"BACKEND": "embedded", "EMBEDDED_FILE": str(tmp_path / "embedded.sqlite3")}

    first = await ensure_provisioned(environ)

    assert await ensure_provisioned(environ) == first
    assert "subscription stock-service.com.example.purchase of com.example.purchase" in first


def test_every_subscription_has_dead_letters_but_their_own():
    specs = {spec.name: spec for spec in subscription_specs()}

    assert specs.pop("dead-letter").dead_letter_topic is None
    assert {spec.dead_letter_topic for spec in specs.values()} == {"com.example.dead-letter"}
    assert specs.keys() == topology.subscriptions().keys()


def test_every_topic_that_is_subscribed_to_is_made():
    assert {spec.topic for spec in subscription_specs()} <= set(topics())


async def test_an_environment_that_names_no_backend_is_refused():
    with pytest.raises(CommandError, match="GOOGLE_CLOUD_PROJECT is not set"):
        await ensure_provisioned({"BACKEND": "gcp"})


async def test_a_backend_that_is_named_wrongly_is_not_waited_for():
    with pytest.raises(CommandError, match="GOOGLE_CLOUD_PROJECT is not set"):
        await asyncio.wait_for(provision_with_retries({"BACKEND": "gcp"}, 60), 10)


@pytest.mark.emulators
async def test_a_backend_that_is_only_just_starting_is_waited_for(tmp_path):
    missing = why_unavailable(PUBSUB)
    if missing is not None:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(missing)
    (port,) = free_ports(1)
    environ = {"GOOGLE_CLOUD_PROJECT": "p", "PUBSUB_EMULATOR_HOST": f"127.0.0.1:{port}"}

    waiting = asyncio.create_task(provision_with_retries(environ, 60))
    await asyncio.sleep(0)
    async with running(PUBSUB, tmp_path / "log", port):
        lines = await asyncio.wait_for(waiting, 90)
        no_store = {**environ, "DATASTORE_EMULATOR_HOST": "127.0.0.1:1"}
        with pytest.raises(CommandError, match="the store is away"):
            await asyncio.wait_for(provision_with_retries(no_store, 0, check_store=True), 60)

    assert "topic com.example.dead-letter" in lines


async def test_what_is_kept_provisioned_is_made_again_and_said_once(tmp_path):
    file = tmp_path / "embedded.sqlite3"
    environ = {"BACKEND": "embedded", "EMBEDDED_FILE": str(file)}
    said: list[str] = []

    async def kept() -> set[str]:
        database = Database(file)
        try:
            return set(await database.read(lambda db: queue.subscription_names(db, "")))
        finally:
            await database.close()

    async def all_there() -> bool:
        return await kept() >= topology.subscriptions().keys()

    keeping = asyncio.create_task(keep_provisioned(environ, 0.05, said.append))
    await eventually(lambda: bool(said))
    assert await all_there()
    async with open_provisioner(environ) as provisioner:
        await provisioner.remove_subscription("stock-service.com.example.purchase")

    await eventually(all_there)
    assert said == ["provisioned"]
    keeping.cancel()
