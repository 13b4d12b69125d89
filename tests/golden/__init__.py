"""Golden files: what clients, operators, the broker and the database see of the suite, as it was recorded."""
