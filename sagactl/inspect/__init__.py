"""What the backend of a suite holds: records, audit, timelines, pending orders, dead letters."""
