"""The `due` property: a time at which an entity needs attention, encoded so that an index scales.

An index on a plain time is always written at its end, which limits it to about 500 writes a second
(https://cloud.google.com/datastore/docs/best-practices). So the encoding begins with a shard, a hash
of the entity's name, and sweepers query shard by shard.
"""

import zlib

SHARDS = 16
"""It may grow (up to 256) by a rolling restart, and never shrink: removed shards would not be swept."""
MAX_AHEAD_SECONDS = 15 * 60.0
"""Maximum plausible distance of a `due` from now: one further ahead was written while a clock was fast.

It exceeds the longest interval after which anything is due again (10 minutes) by more than clocks differ.
"""
END_OF_TIME = 1e11
"""Seconds since the epoch, later than any `due`."""


def shard_of(name: str) -> int:
    """Return the shard of the entity called `name`."""
    return zlib.crc32(name.encode()) % SHARDS


def encode_due(name: str, moment: float) -> str:
    """Return the `due` of the entity called `name` for `moment` (seconds since the epoch)."""
    return due_bound(shard_of(name), moment)


def due_bound(shard: int, moment: float) -> str:
    """Return the bound of a query: it sorts after every earlier `due` of the shard, and before all others."""
    return f"{shard:02x}:{_digits(moment)}"


def decode_due(due: str) -> float:
    """Return the time in a `due` (seconds since the epoch)."""
    return int(due.partition(":")[2]) / 1000


def is_due(due: str | None, now: float) -> bool:
    """Return whether the time in `due` has passed, or is implausibly far ahead; False if it is None.

    The shard is ignored: after SHARDS has grown, older entities are in the shards of before.
    """
    if due is None:
        return False
    digits = due.partition(":")[2]
    return digits < _digits(now) or digits >= _digits(now + MAX_AHEAD_SECONDS)


def _digits(moment: float) -> str:
    return f"{int(moment * 1000):015d}"
