"""A planted bug, and the list in which all are registered."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from tests.simulation.faults import UNRELIABLE, ShopFaults

Planted = AbstractContextManager[Any]
Plant = Callable[[], Planted]


@dataclass(frozen=True, slots=True)
class Bug:
    """A bug, and the conditions under which it shows."""

    name: str
    plant: Callable[[], Any]
    """Returns a context manager; the bug is present inside."""
    faults: ShopFaults
    reminders: bool
    """False: reminders, which would repair the damage, are off; then the broker must lose no message."""


BUGS: list[Bug] = []


def bug(*, faults: ShopFaults = UNRELIABLE, reminders: bool = True) -> Callable[[Plant], Plant]:
    def register(plant: Plant) -> Plant:
        BUGS.append(Bug(plant.__name__, plant, faults, reminders))
        return plant

    return register
