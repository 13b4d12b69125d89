"""The embedded backend: tables and messages in one SQLite file that the service processes share.

For a machine with nothing but Python, and for tests. It keeps the promises of the gcp backend:
transactions that conflict, at-least-once delivery with leases, redelivery that survives a restart.
"""
