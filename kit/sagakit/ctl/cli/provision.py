"""`sagactl provision`: create the suite's topics and subscriptions."""

import asyncio
import os
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import click

from sagakit.backends import open_backend, open_broker, open_provisioner
from sagakit.bus import Provisioner, SubscriptionSpec
from sagakit.ctl.cli import options
from sagakit.ctl.errors import CommandError
from sagakit.ctl.inspect.target import choose
from sagakit.ctl.load import provisioned
from sagakit.ctl.local.signals import until_stopped
from sagakit.ctl.text import echo
from sagakit.errors import Unavailable, Unchangeable
from sagakit.fanout import EPHEMERAL_PREFIX
from sagakit.runtime import Runtime
from sagakit.settings import BackendSettings, SettingsError
from sagakit.tables import Key
from sagakit.topology import Topology

RETRY_INTERVAL_SECONDS = 1.0


@click.command()
@options.wait("Retry for up to this many seconds while the backend is unavailable.")
@click.option(
    "--interval",
    type=click.FloatRange(min=0, min_open=True),
    metavar="SECONDS",
    help="Repeat every N seconds until stopped; for emulators, which lose topics on restart.",
)
@click.option("--check-store", is_flag=True, help="With --wait: also wait until the store responds.")
@options.suite
def provision(wait: float, interval: float | None, check_store: bool, run_dir: Path) -> None:
    """Create the topics and subscriptions of a suite. Safe to repeat."""
    topology, environ = options.project().topology, choose(run_dir, os.environ).environ
    if interval is not None:
        asyncio.run(until_stopped(keep_provisioned(topology, environ, interval, echo)))
        return
    print_ = partial(echo, err=True)
    work = provision_with_retries(topology, environ, wait, check_store=check_store, print_=print_)
    lines = asyncio.run(until_stopped(work))
    if lines is None:
        raise click.ClickException("stopped before provisioning was complete")
    for line in lines:
        echo(line)


async def ensure_provisioned(topology: Topology, environ: Mapping[str, str]) -> list[str]:
    """Create or update all topics and subscriptions of a project; return a line for each.

    A line ends with what was changed, in parentheses. Deletes expired ephemeral subscriptions. Raises
    CommandError if the backend that `environ` names is unavailable, or none is named, or if the filter of a
    subscription withholds what its service needs.
    """
    specs = provisioned(topology)
    try:
        topics = [*_foreign_topics(topology, environ), *topology.all_topics()]
        async with open_provisioner(environ) as provisioner:
            changes = await create(provisioner, topics, specs)
    except (SettingsError, Unavailable, Unchangeable) as error:
        raise CommandError(f"cannot provision: {error}") from error
    return [
        *(f"topic {topic}" for topic in topics),
        *(
            f"subscription {spec.name} of {spec.topic}" + (f" ({change})" if change else "")
            for spec, change in zip(specs, changes, strict=True)
        ),
        *(await _sweep(environ)),
    ]


async def create(
    provisioner: Provisioner, topics: Sequence[str], specs: Sequence[SubscriptionSpec]
) -> list[str]:
    """Create or update topics, then subscriptions; return what was changed of each subscription."""
    await asyncio.gather(*map(provisioner.ensure_topic, topics))
    changes = await asyncio.gather(*(provisioner.ensure_subscription(spec) for spec in specs[:-1]))
    # Created last: if it exists, everything does.
    return [*changes, await provisioner.ensure_subscription(specs[-1])]


def _foreign_topics(topology: Topology, environ: Mapping[str, str]) -> list[str]:
    """Return the topics of others that are created too: an emulator has only what is created here."""
    settings = BackendSettings.from_environ(environ)
    is_local = settings.backend == "embedded" or settings.pubsub_emulator
    return list(topology.foreign_topics.values()) if is_local else []


async def _sweep(environ: Mapping[str, str]) -> list[str]:
    """Delete the ephemeral subscriptions of processes that have ended; return a line for each, or why not.

    They may be in a project of their own, and nothing depends on their deletion.
    """
    try:
        async with open_broker(BackendSettings.from_environ(environ), Runtime()) as broker:
            names = await broker.provisioner.sweep(EPHEMERAL_PREFIX)
    except Unavailable as error:
        return [f"cannot delete ephemeral subscriptions: {error}"]
    return [f"deleted {name}, whose process has ended" for name in names]


async def provision_with_retries(
    topology: Topology,
    environ: Mapping[str, str],
    wait_seconds: float,
    *,
    check_store: bool = False,
    print_: Callable[[str], object] = lambda _: None,
) -> list[str]:
    """Retry `ensure_provisioned`, and with `check_store` a read of the store, for `wait_seconds`.

    Print why it waits whenever the reason changes.
    """
    deadline = time.monotonic() + wait_seconds
    printed = ""
    while True:
        try:
            lines = await ensure_provisioned(topology, environ)
            if check_store:
                await _check_store(environ)
        except CommandError as error:
            if not isinstance(error.__cause__, Unavailable) or time.monotonic() >= deadline:
                raise
            if str(error) != printed:
                print_(f"waiting: {error}")
            printed = str(error)
        else:
            return lines
        await asyncio.sleep(RETRY_INTERVAL_SECONDS)


async def _check_store(environ: Mapping[str, str]) -> None:
    try:
        async with open_backend(BackendSettings.from_environ(environ), Runtime()) as backend:
            await backend.tables.lookup([Key("Probe", "probe")])
    except Unavailable as error:
        raise CommandError(f"the store is unavailable: {error}") from error


async def keep_provisioned(
    topology: Topology, environ: Mapping[str, str], interval_seconds: float, print_: Callable[[str], object]
) -> None:
    """Provision at this interval; print changes of state, and which subscriptions were changed.

    Raises CommandError if no backend is named.
    """
    printed = ""
    while True:
        changes: list[str] = []
        try:
            changes += (line for line in await ensure_provisioned(topology, environ) if line.endswith(")"))
            state = "provisioned"
        except CommandError as error:
            if isinstance(error.__cause__, SettingsError):
                raise
            state = str(error)
        if state != printed or changes:
            print_("\n".join([state, *changes]))
        printed = state
        await asyncio.sleep(interval_seconds)
