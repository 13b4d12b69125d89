"""Contents of a suite's backend: records, audit, timelines, pending orders, dead letters."""
