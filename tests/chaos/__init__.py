"""The suite on Google's emulators while its processes are killed and its backends made to fail."""

RATE = 0.02
"""The share of calls to the emulators with which something goes wrong."""
