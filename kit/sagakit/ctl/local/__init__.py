"""A suite on this machine: its processes, from a plan to a clean end."""
