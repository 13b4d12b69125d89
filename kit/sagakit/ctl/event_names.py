"""Names for the templates of a service, from the events that it receives."""

from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from types import ModuleType

from sagakit.ctl.project import NewService
from sagakit.event_types import EventType


def event_names(events: ModuleType) -> Callable[[NewService], Mapping[str, str]]:
    """Return the function `ServiceTemplates.names` of a project whose event types are in the module `events`.

    The names of a service's event types begin with its own: `seats.Reserved` is published by `seats`. It
    raises ValueError if a service has none, or if the bodies have no first field in common.
    """

    def names(service: NewService) -> Mapping[str, str]:
        received: dict[str, EventType[object]] = {}
        for publisher in service.subscribes_to:
            own = {
                constant: value
                for constant, value in sorted(vars(events).items())
                if isinstance(value, EventType) and value.name.startswith(f"{publisher}.")
            }
            if not own:
                raise ValueError(f"{events.__name__} has no event type whose name begins with '{publisher}.'")
            received |= own
        models = {each.model.__name__ for each in received.values()}
        return {
            "CONSTANT": service.package.upper(),
            "constants": ", ".join(received),
            "handlers": ", ".join(f"{constant}: usecases.record" for constant in received),
            "models": ", ".join(sorted(models)),
            "body": " | ".join(sorted(models)),
            "subject": _subject(received),
        }

    return names


def _subject(received: Mapping[str, EventType[object]]) -> str:
    """Return the name of the bodies' first field."""
    first = {
        fields(each.model)[0].name if is_dataclass(each.model) else f"that of {each.name}"
        for each in received.values()
    }
    if len(first) > 1:
        raise ValueError(
            f"the bodies of {', '.join(received)} have different first fields: {', '.join(first)}"
        )
    return first.pop()
