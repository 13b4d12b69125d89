"""Opens the backend that the settings name; Google's packages are imported only for `gcp`."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sagakit.batching import BatchedTables, BatchLimits
from sagakit.bus import Bus, Provisioner, PullSubscription
from sagakit.runtime import Runtime
from sagakit.settings import BackendSettings, SettingsError
from sagakit.tables import Tables

if TYPE_CHECKING:
    from sagakit.backends.embedded.bus import EmbeddedBus
    from sagakit.backends.embedded.database import Database


@dataclass(frozen=True, slots=True)
class Backend:
    """An open backend: store and bus."""

    tables: Tables
    bus: Bus


@asynccontextmanager
async def open_backend(settings: BackendSettings, runtime: Runtime) -> AsyncIterator[Backend]:
    """Open the backend. It connects lazily: calls raise Unavailable if it cannot be reached.

    Raises SettingsError if the folder of the embedded file cannot be used.
    """
    if settings.backend == "embedded":
        from sagakit.backends.embedded.tables import EmbeddedTables

        async with (
            _embedded(settings, runtime) as (database, bus),
            BatchedTables(EmbeddedTables(database), _limits(settings), runtime.observer) as tables,
        ):
            yield Backend(tables, bus)
    else:
        from sagakit.backends.gcp.datastore import open_datastore
        from sagakit.backends.gcp.pubsub import open_pubsub

        async with (
            open_datastore(settings.project, settings.database, settings.datastore_emulator) as datastore,
            open_pubsub(settings.project, settings.pubsub_emulator) as pubsub,
            BatchedTables(datastore, _limits(settings), runtime.observer) as tables,
        ):
            yield Backend(tables, pubsub)


def _limits(settings: BackendSettings) -> BatchLimits:
    on_datastore = settings.backend == "gcp" and not settings.datastore_emulator
    return BatchLimits(
        settings.calls_in_flight or (4 if on_datastore else 1), mutations=settings.commit_mutations
    )


@dataclass(frozen=True, slots=True)
class Broker:
    """An open broker, for processes that create subscriptions of their own."""

    bus: Bus
    provisioner: Provisioner


@asynccontextmanager
async def open_broker(settings: BackendSettings, runtime: Runtime) -> AsyncIterator[Broker]:
    """Open the backend's broker without its store. It connects lazily, as with `open_backend`.

    Its subscriptions are ephemeral ones: on Pub/Sub they are in `settings.ephemeral_project`.
    """
    if settings.backend == "embedded":
        async with _embedded(settings, runtime) as (_, bus):
            yield Broker(bus, bus)
    else:
        from sagakit.backends.gcp.provision import open_pubsub_provisioner
        from sagakit.backends.gcp.pubsub import open_pubsub

        where = (settings.project, settings.pubsub_emulator)
        subscriptions = settings.ephemeral_project
        async with (
            open_pubsub_provisioner(*where, subscription_project=subscriptions) as provisioner,
            open_pubsub(*where, subscription_project=subscriptions) as pubsub,
        ):
            yield Broker(pubsub, provisioner)


@asynccontextmanager
async def open_provisioner(environ: Mapping[str, str]) -> AsyncIterator[Provisioner]:
    """Open the provisioner of the backend that the environment names. Raises SettingsError.

    Its subscriptions are those of services.
    """
    settings = replace(BackendSettings.from_environ(environ), ephemeral_project="")
    async with open_broker(settings, Runtime()) as broker:
        yield broker.provisioner


@asynccontextmanager
async def open_pull_subscription(settings: BackendSettings, name: str) -> AsyncIterator[PullSubscription]:
    """Open the subscription `name` for pulling on request."""
    if settings.backend == "embedded":
        from sagakit.backends.embedded.bus import EmbeddedPullSubscription

        async with _embedded(settings, Runtime()) as (database, _):
            yield EmbeddedPullSubscription(database, Runtime(), name)
    else:
        from sagakit.backends.gcp.pull import open_pubsub_pull_subscription

        async with open_pubsub_pull_subscription(settings.project, settings.pubsub_emulator, name) as pull:
            yield pull


@asynccontextmanager
async def _embedded(
    settings: BackendSettings, runtime: Runtime
) -> "AsyncIterator[tuple[Database, EmbeddedBus]]":
    """Open the file and the bus in it; close them in the reverse order.

    Raises SettingsError if its folder cannot be used.
    """
    from sagakit.backends.embedded.bus import EmbeddedBus
    from sagakit.backends.embedded.database import Database

    database = Database(settings.embedded_file)
    try:
        bus = EmbeddedBus(database, runtime)
    except OSError as error:
        raise SettingsError("EMBEDDED_FILE", f"cannot be used: {error}") from error
    try:
        yield database, bus
    finally:
        try:
            await bus.close()
        finally:
            await database.close()
