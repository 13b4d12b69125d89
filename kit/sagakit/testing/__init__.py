"""Test support for projects that are built on the kit: it is also what the kit itself is tested with.

`import sagakit` does not import this package, and nothing in it runs in production.
"""
