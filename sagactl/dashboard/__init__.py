"""`sagactl top`: the live dashboard."""
