"""Measures the suite against the limits of the emulators themselves."""
