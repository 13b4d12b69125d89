"""Makes what the suite's messages travel through: topics, subscriptions and the place for dead letters."""

import asyncio
from collections.abc import Mapping

from contract import topology
from sagactl.errors import CannotRun
from sagakit.backends import open_provisioner
from sagakit.bus import SubscriptionSpec
from sagakit.errors import Unavailable
from sagakit.settings import BadSetting


async def provision(environ: Mapping[str, str]) -> list[str]:
    """Everything is there afterwards, as `contract.topology` says; a line about each. Safe to repeat.

    What gateways left behind that died is removed.

    CannotRun where the backend that `environ` names is away, or none is named.
    """
    specs = subscription_specs()
    try:
        async with open_provisioner(environ) as provisioner:
            await asyncio.gather(*(provisioner.ensure_topic(topic) for topic in topics()))
            await asyncio.gather(*(provisioner.ensure_subscription(spec) for spec in specs))
            swept = await provisioner.sweep(topology.BROADCAST_PREFIX)
    except (BadSetting, Unavailable) as error:
        raise CannotRun(f"cannot provision: {error}") from error
    return [
        *(f"topic {topic}" for topic in topics()),
        *(f"subscription {spec.name} of {spec.topic}" for spec in specs),
        *(f"removed {name}, whose gateway is no more" for name in swept),
    ]


def topics() -> list[str]:
    return [*topology.TOPICS.values(), topology.DEAD_LETTER_TOPIC]


def subscription_specs() -> list[SubscriptionSpec]:
    """The services' subscriptions, and the dead letters' own, which has no dead letters itself."""
    return [
        *(
            SubscriptionSpec(name, topic, topology.DEAD_LETTER_TOPIC)
            for name, topic in topology.subscriptions().items()
        ),
        SubscriptionSpec(topology.DEAD_LETTER_SUBSCRIPTION, topology.DEAD_LETTER_TOPIC, None),
    ]
