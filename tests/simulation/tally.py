"""The sums of what was simulated to date, and the table of it in docs/reliability.md."""

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path

SEEDS = Path(__file__).parent / "seeds"
FILE = SEEDS / "tally.json"
PAGE = Path(__file__).parents[2] / "docs/reliability.md"
HEAD = "| simulated to date by `make soak` | |\n|---|---|\n"


@dataclass(frozen=True, slots=True)
class Tally:
    """Sums over runs."""

    sagas: int = 0
    seeds: int = 0
    deliveries: int = 0
    kills: int = 0
    cpu_hours: float = 0.0
    """Time of processors, also of those that worked side by side."""
    broken: int = 0
    """Runs in which a promise was broken."""
    memory_megabytes: float = 0.0
    """The most memory that a process of them has had."""

    def __add__(self, other: "Tally") -> "Tally":
        sums = {name: value + getattr(other, name) for name, value in asdict(self).items()}
        most = max(self.memory_megabytes, other.memory_megabytes)
        return replace(self, **{**sums, "memory_megabytes": most})

    def table(self) -> str:
        """Return the rows of the table."""
        return (
            f"| orders | {self.sagas:,} |\n"
            f"| worlds, each drawn from a seed of its own | {self.seeds:,} |\n"
            f"| messages delivered, processes killed | {self.deliveries:,}, {self.kills:,} |\n"
            f"| hours of one processor | {self.cpu_hours:.1f} |\n"
            f"| most memory of a process, MB | {self.memory_megabytes:.0f} |\n"
            f"| runs in which a promise was broken | {self.broken:,} |\n"
        )


def load() -> Tally:
    """Return the tally on file."""
    return Tally(**json.loads(FILE.read_text()))


def save(tally: Tally) -> None:
    """Write the file and the table: each is replaced as a whole, so that an interruption leaves no half."""
    _replace(FILE, json.dumps(asdict(tally), indent=2) + "\n")
    _replace(PAGE, regenerated(PAGE.read_text(), tally))


def regenerated(text: str, tally: Tally) -> str:
    """Return `text` with the rows below HEAD replaced by those of the tally."""
    before, head, after = text.partition(HEAD)
    rest = after.splitlines(keepends=True)
    while rest and rest[0].startswith("|"):
        del rest[0]
    return before + head + (tally.table() if head else "") + "".join(rest)


def _replace(path: Path, text: str) -> None:
    written = path.with_suffix(f"{path.suffix}.new")
    written.write_text(text)
    written.replace(path)
