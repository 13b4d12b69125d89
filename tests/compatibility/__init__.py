"""Releases side by side: what each wrote, recorded from real runs, and read by the others."""
