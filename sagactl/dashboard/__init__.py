"""`sagactl watch`: what the suite does, as it does it."""
