"""How many may be kept at once who are long under way: streams and long polls."""

from collections.abc import Iterator
from contextlib import contextmanager

from services.gateway.errors import Problem


class Places:
    """So many and no more; one more is sent away."""

    def __init__(self, most: int) -> None:
        self._free = most

    def take(self) -> None:
        """Raises Problem where none is free."""
        if not self._free:
            raise Problem(503, "too-many-followers", "Too many orders are followed here at once; try again.")
        self._free -= 1

    def give_back(self) -> None:
        self._free += 1

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Raises Problem where none is free."""
        self.take()
        try:
            yield
        finally:
            self.give_back()
