"""The stores that the kit's contract suite runs over."""

from kit.tests.contract.conftest import open_tables, seen, tables

__all__ = ["open_tables", "seen", "tables"]
