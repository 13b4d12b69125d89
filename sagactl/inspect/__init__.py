"""Contents of a suite's backend: records, audit, dead letters."""
