"""Rules for ids and numbers; the gateway and every servicer validate against them."""

import re

from sagakit.errors import InvalidArgument

ID_PATTERN = r"^([A-Za-z0-9._~-]{3,128}|[A-Za-z0-9_~-][A-Za-z0-9._~-]?|\.[A-Za-z0-9_~-])$"
"""1 to 128 characters that URLs leave as they are, but neither `.` nor `..`: clients and proxies remove these
segments of paths (https://www.rfc-editor.org/rfc/rfc3986#section-5.2.4). No lookahead: engines differ.
"""
ID_RULE = "1 to 128 of the characters A-Z a-z 0-9 . _ ~ -, and neither . nor .."
MAX_COUNT = 1_000_000
MAX_ITEMS_PER_CART = 60
"""Different items. One transaction reserves all of them, each from up to 8 shards: with three entities more
it commits 483 (docs/decisions/0048-at-most-60-items-per-order.md)."""
TOO_MANY_ITEMS = "too-many-items"
"""Reason of the rejection of a cart or order with more."""
MAX_STOCK = 1_000_000_000
MAX_PRICE = 50_000_000
"""Of one unit, in minor units of the currency."""
MAX_AMOUNT = MAX_PRICE * MAX_COUNT * MAX_ITEMS_PER_CART
"""Price of the most expensive cart: below 2^53, so that every JSON reader represents it exactly."""

_ID = re.compile(ID_PATTERN.replace("^", r"\A").replace("$", r"\Z"))


def checked_id(field: str, value: str) -> str:
    """Return `value`. Raises InvalidArgument naming `field` if it is no valid id."""
    if not _ID.match(value):
        raise InvalidArgument(field, f"{field} must be {ID_RULE}")
    return value


def checked_int(field: str, value: int, low: int, high: int) -> int:
    """Return `value`. Raises InvalidArgument naming `field` unless low <= value <= high."""
    if not low <= value <= high:
        raise InvalidArgument(field, f"{field} must be from {low} to {high}")
    return value


def checked_count(field: str, value: int) -> int:
    """Return `value`. Raises InvalidArgument naming `field` unless it is from 1 to MAX_COUNT units."""
    return checked_int(field, value, 1, MAX_COUNT)
