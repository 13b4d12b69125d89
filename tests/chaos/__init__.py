"""Chaos tests: the suite on Google's emulators while processes are killed and backends fail."""

RATE = 0.02
"""Share of calls to the emulators that get a fault."""
