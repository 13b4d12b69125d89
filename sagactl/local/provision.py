"""Makes what the suite's messages travel through: topics, subscriptions and the place for dead letters."""

import asyncio
import time
from collections.abc import Callable, Mapping

from contract import topology
from sagactl.errors import CommandError
from sagakit.backends import open_backend, open_provisioner
from sagakit.bus import SubscriptionSpec
from sagakit.errors import Unavailable
from sagakit.runtime import Runtime
from sagakit.settings import BackendSettings, SettingsError
from sagakit.tables import Key

AGAIN_SECONDS = 1.0
"""How soon a backend that is away is asked again."""


async def provision(environ: Mapping[str, str]) -> list[str]:
    """Everything is there afterwards, as `contract.topology` says; a line about each. Safe to repeat.

    What gateways left behind that died is removed.

    CommandError where the backend that `environ` names is away, or none is named.
    """
    specs = subscription_specs()
    try:
        async with open_provisioner(environ) as provisioner:
            await asyncio.gather(*(provisioner.ensure_topic(topic) for topic in topics()))
            await asyncio.gather(*(provisioner.ensure_subscription(spec) for spec in specs[:-1]))
            # Who finds this one finds everything.
            await provisioner.ensure_subscription(specs[-1])
            swept = await provisioner.sweep(topology.EPHEMERAL_PREFIX)
    except (SettingsError, Unavailable) as error:
        raise CommandError(f"cannot provision: {error}") from error
    return [
        *(f"topic {topic}" for topic in topics()),
        *(f"subscription {spec.name} of {spec.topic}" for spec in specs),
        *(f"removed {name}, whose gateway is no more" for name in swept),
    ]


async def provision_waiting(
    environ: Mapping[str, str], wait_seconds: float, *, check_store: bool = False
) -> list[str]:
    """As `provision`, for a backend that may only just be starting; with `store`, that answers then."""
    deadline = time.monotonic() + wait_seconds
    while True:
        try:
            return await _provision_and_look(environ, check_store=check_store)
        except CommandError as error:
            if isinstance(error.__cause__, SettingsError) or time.monotonic() >= deadline:
                raise
        await asyncio.sleep(AGAIN_SECONDS)


async def _provision_and_look(environ: Mapping[str, str], *, check_store: bool) -> list[str]:
    lines = await provision(environ)
    if check_store:
        await _store_answers(environ)
    return lines


async def _store_answers(environ: Mapping[str, str]) -> None:
    try:
        async with open_backend(BackendSettings.from_environ(environ), Runtime()) as backend:
            await backend.tables.lookup([Key("Anything", "health-check")])
    except Unavailable as error:
        raise CommandError(f"the store is away: {error}") from error


async def keep_provisioned(
    environ: Mapping[str, str], every_seconds: float, say: Callable[[str], object]
) -> None:
    """Everything is there again soon after an emulator that remembers nothing was restarted. Never returns.

    What is new is said: that the backend is away, that it is provisioned. CommandError where none is named.
    """
    said = ""
    while True:
        try:
            await provision(environ)
            now = "provisioned"
        except CommandError as error:
            if isinstance(error.__cause__, SettingsError):
                raise
            now = str(error)
        if now != said:
            say(now)
        said = now
        await asyncio.sleep(every_seconds)


def topics() -> list[str]:
    return [*topology.TOPICS.values(), topology.DEAD_LETTER_TOPIC]


def subscription_specs() -> list[SubscriptionSpec]:
    """The services' subscriptions, and last the dead letters' own, which has no dead letters itself."""
    return [
        *(
            SubscriptionSpec(name, topic, topology.DEAD_LETTER_TOPIC)
            for name, topic in topology.subscriptions().items()
        ),
        SubscriptionSpec(topology.DEAD_LETTER_SUBSCRIPTION, topology.DEAD_LETTER_TOPIC, None),
    ]
