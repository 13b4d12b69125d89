"""The `due` property: when something wants attention, in a form that spreads over an index.

An index on a bare time is written at its end only, and capped near 500 writes a second
(https://cloud.google.com/datastore/docs/best-practices). So a shard, a hash of the name, comes first;
who looks for what is due asks shard by shard.
"""

import zlib

SHARDS = 16


def shard_of(name: str) -> int:
    return zlib.crc32(name.encode()) % SHARDS


def due_at(name: str, when: float) -> str:
    """The `due` of the entity called `name` that wants attention at `when` (seconds since the epoch)."""
    return bound(shard_of(name), when)


def bound(shard: int, when: float) -> str:
    """Sorts before every `due` of the shard from `when` on, and after every earlier one."""
    return f"{shard:02x}:{int(when * 1000):015d}"


def is_due(name: str, due: str | None, now: float) -> bool:
    """Whether the entity called `name`, with that `due` or none, wants attention by now."""
    return due is not None and due < bound(shard_of(name), now)
