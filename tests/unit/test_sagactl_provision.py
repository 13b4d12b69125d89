"""`sagactl provision`: the topics and subscriptions of the topology."""

import asyncio
import os
import time

import pytest

from contract.topology import TOPOLOGY
from sagakit.backends import open_provisioner
from sagakit.backends.embedded import queue
from sagakit.backends.embedded.database import Database
from sagakit.ctl.cli.provision import (
    ensure_provisioned,
    keep_provisioned,
    provision_with_retries,
)
from sagakit.ctl.errors import CommandError
from sagakit.ctl.local.emulators import PUBSUB, running, why_unavailable
from sagakit.ctl.local.ports import free_ports
from tests.support.eventually import eventually


async def test_provisioning_can_be_repeated(tmp_path):
    environ = {"BACKEND": "embedded", "EMBEDDED_FILE": str(tmp_path / "embedded.sqlite3")}

    first = await ensure_provisioned(TOPOLOGY, environ)

    assert await ensure_provisioned(TOPOLOGY, environ) == first
    assert "subscription stock-service.com.example.purchase of com.example.purchase" in first


def test_every_subscription_but_the_dead_letters_has_a_dead_letter_topic_and_its_topic_is_created():
    specs = {spec.name: spec for spec in TOPOLOGY.subscription_specs()}

    assert {spec.topic for spec in specs.values()} <= set(TOPOLOGY.all_topics())
    assert specs.pop("dead-letter").dead_letter_topic is None
    assert {spec.dead_letter_topic for spec in specs.values()} == {"com.example.dead-letter"}
    assert specs.keys() == TOPOLOGY.subscriptions().keys()


UNREACHABLE = {"GOOGLE_CLOUD_PROJECT": "p", "PUBSUB_EMULATOR_HOST": "127.0.0.1:1"}


async def test_provisioning_waits_for_all_of_its_seconds_and_prints_why():
    """Known mistake: the client's own retries end after 30 s with an error of another kind."""
    printed: list[str] = []
    began = time.monotonic()

    with pytest.raises(CommandError, match=r"cannot provision: .*UNAVAILABLE"):
        await provision_with_retries(TOPOLOGY, UNREACHABLE, 2.5, print_=printed.append)

    assert 2.5 <= time.monotonic() - began < 10
    assert len(printed) == 1
    assert printed[0].startswith("waiting: cannot provision: ")


async def test_provisioning_at_an_interval_survives_an_unreachable_broker():
    printed: list[str] = []
    provisioning = asyncio.create_task(keep_provisioned(TOPOLOGY, UNREACHABLE, 0.01, printed.append))

    await eventually(lambda: bool(printed))

    assert not provisioning.done()
    assert printed[0].startswith("cannot provision: ")
    provisioning.cancel()


async def test_invalid_settings_are_an_error_at_once():
    with pytest.raises(CommandError, match="GOOGLE_CLOUD_PROJECT is not set"):
        await asyncio.wait_for(provision_with_retries(TOPOLOGY, {"BACKEND": "gcp"}, 60), 10)


@pytest.mark.emulators
async def test_provisioning_waits_for_a_starting_backend(tmp_path):
    missing = why_unavailable(PUBSUB)
    if missing is not None:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(missing)
    (port,) = free_ports(1)
    environ = {"GOOGLE_CLOUD_PROJECT": "p", "PUBSUB_EMULATOR_HOST": f"127.0.0.1:{port}"}

    waiting = asyncio.create_task(provision_with_retries(TOPOLOGY, environ, 60))
    await asyncio.sleep(0)
    async with running(PUBSUB, tmp_path / "log", port):
        lines = await asyncio.wait_for(waiting, 90)
        no_store = {**environ, "DATASTORE_EMULATOR_HOST": "127.0.0.1:1"}
        with pytest.raises(CommandError, match="the store is unavailable"):
            await asyncio.wait_for(provision_with_retries(TOPOLOGY, no_store, 0, check_store=True), 60)

    assert "topic com.example.dead-letter" in lines


async def test_deleted_subscription_is_created_again(tmp_path):
    file = tmp_path / "embedded.sqlite3"
    environ = {"BACKEND": "embedded", "EMBEDDED_FILE": str(file)}
    printed: list[str] = []

    async def existing() -> set[str]:
        database = Database(file)
        try:
            return set(await database.read(lambda db: queue.subscription_names(db, "")))
        finally:
            await database.close()

    async def is_complete() -> bool:
        return await existing() >= TOPOLOGY.subscriptions().keys()

    provisioning = asyncio.create_task(keep_provisioned(TOPOLOGY, environ, 0.05, printed.append))
    await eventually(lambda: bool(printed))
    assert await is_complete()
    async with open_provisioner(environ) as provisioner:
        await provisioner.remove_subscription("stock-service.com.example.purchase")

    await eventually(is_complete)
    assert printed == ["provisioned"]
    provisioning.cancel()
