"""Defects of a service in a simulation: what a handler rejects although it could be applied."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sagakit.consumer import Outcome
from sagakit.errors import Poison
from sagakit.service import Kit, Service, ServiceFactory

if TYPE_CHECKING:
    from sagakit.testing.world import World

POISONED = "simulated-defect"
"""Reason of the dead letters."""

Handle = Callable[..., Awaitable[Outcome]]


def poisoned(build: ServiceFactory, world: "World") -> ServiceFactory:
    """Return a factory of the service with handlers that make dead letters, at the rate `poisoned`."""

    def rejecting(handle: Handle) -> Handle:
        async def handled(*event: Any) -> Outcome:
            if world.fails("poisoned"):
                raise Poison(POISONED)
            return await handle(*event)

        return handled

    def built(kit: Kit) -> Service:
        service = build(kit)
        return replace(service, handlers={name: rejecting(each) for name, each in service.handlers.items()})

    return built if world.faults.poisoned else build
