"""Everything that `sagactl watch` knows at a moment."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sagactl.dashboard.queue_depth import Backlog, Pile
from sagactl.dashboard.stats import Figures


@dataclass(frozen=True, slots=True)
class State:
    """What is not known yet, or cannot be known, is None."""

    now: float
    """Seconds since the epoch."""
    where: str
    """Which suite it is."""
    listening: bool
    figures: Figures
    backlog: Backlog | None = None
    letters: Pile | None = None
    """Dead letters."""
    programs: Sequence[Mapping[str, Any]] | None = None
    """The processes of a local suite; None: it is none."""
    trouble: str = ""
    """What keeps it from knowing more, if anything does."""

    def to_json(self) -> dict[str, Any]:
        """Plain data, under the same names."""
        return asdict(self)
