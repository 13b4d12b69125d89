"""`sagactl top`: what the suite does, as it does it."""
