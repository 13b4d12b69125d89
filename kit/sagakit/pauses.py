"""Services that are paused on purpose: one entity has their names, which their processes look up."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from sagakit.codec import Stored, from_entity, to_entity
from sagakit.tables import Insert, Key, Row, Tables, Update

PAUSED = Key("PausedServices", "all")


@dataclass(frozen=True, slots=True)
class Paused(Stored):
    """The services that pull no events."""

    services: tuple[str, ...] = ()


async def load_paused(tables: Tables) -> frozenset[str]:
    """Return the names of the services that are paused. Raises Poison if they cannot be read."""
    return frozenset(_paused((await tables.lookup([PAUSED])).get(PAUSED)).services)


async def save_paused(tables: Tables, services: Iterable[str]) -> None:
    """Pause exactly these services. Raises Contention if another writer was faster."""
    row = (await tables.lookup([PAUSED])).get(PAUSED)
    entity = to_entity(replace(_paused(row), services=tuple(sorted(services))))
    await tables.commit([Insert(PAUSED, entity) if row is None else Update(PAUSED, entity, row.version)])


def _paused(row: Row | None) -> Paused:
    return from_entity(Paused, row.entity if row else {})
