"""What the kit is tested with, for the tests of projects that are built on it.

`import sagakit` does not import this package, and nothing in it runs in production.
"""
