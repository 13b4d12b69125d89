"""Everything that `sagactl top` knows at a moment."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sagactl.dashboard.queue_depth import Backlog, QueueDepth
from sagactl.dashboard.stats import Summary


@dataclass(frozen=True, slots=True)
class State:
    """What is not known yet, or cannot be known, is None."""

    now: float
    """Seconds since the epoch."""
    where: str
    """Which suite it is."""
    listening: bool
    summary: Summary
    backlog: Backlog | None = None
    dead_letters: QueueDepth | None = None
    """Dead dead_letters."""
    programs: Sequence[Mapping[str, Any]] | None = None
    """The processes of a local suite; None: it is none."""
    warning: str = ""
    """What keeps it from knowing more, if anything does."""

    def to_json(self) -> dict[str, Any]:
        """Plain data, under the same names."""
        return asdict(self)
