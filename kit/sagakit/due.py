"""The `due` property: when something wants attention, in a form that spreads over an index.

An index on a bare time is written at its end only, and capped near 500 writes a second
(https://cloud.google.com/datastore/docs/best-practices). So a shard, a hash of the name, comes first;
who looks for what is due asks shard by shard.
"""

import zlib

SHARDS = 16
"""It may grow (up to 256), with a rolling restart like any other; never shrink: nobody would look there."""


def shard_of(name: str) -> int:
    return zlib.crc32(name.encode()) % SHARDS


def encode_due(name: str, moment: float) -> str:
    """The `due` of the entity called `name` that wants attention at `moment` (seconds since the epoch)."""
    return due_bound(shard_of(name), moment)


def due_bound(shard: int, moment: float) -> str:
    """Sorts before every `due` of the shard from `moment` on, and after every earlier one."""
    return f"{shard:02x}:{_digits(moment)}"


def decode_due(due: str) -> float:
    """The moment that a `due` names (seconds since the epoch)."""
    return int(due.partition(":")[2]) / 1000


def is_due(due: str | None, now: float) -> bool:
    """Whether an entity with that `due`, or none, wants attention by now.

    Whatever its shard: while SHARDS grows there are entities where the fewer shards had put them.
    """
    return due is not None and due.partition(":")[2] < _digits(now)


def _digits(when: float) -> str:
    return f"{int(when * 1000):015d}"
