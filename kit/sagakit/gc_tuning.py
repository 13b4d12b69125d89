"""Python's garbage collector, told that it is in a server."""

import gc

YOUNG = 50_000
"""So many new objects until cycles are looked for among them; Python's own 700 are a request or two."""
MIDDLE, OLD = 20, 100
"""So many looks at the younger until one at the older."""


def tune_gc() -> None:
    """Look for cycles more rarely, and never among what is there by now, which stays as long as the process.

    Reference counts free nearly everything at once. With Python's own thresholds a fifth of a busy
    service's CPU went into looking through the modules again (docs/performance.md).
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG, MIDDLE, OLD)
