"""How fast the suite is, beside what the emulators themselves allow."""
