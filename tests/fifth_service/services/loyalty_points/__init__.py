"""Points of approved orders: a fifth service, which tests add to a copy of the suite."""
