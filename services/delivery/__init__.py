"""Deliveries of approved orders."""
