"""Whose order a record is about, as the services other than purchase know it."""

import hashlib

from sagakit.auth import caller as callers

_DIGEST_CHARACTERS = 32


def owner_digest(orderid: str, sub: str) -> str | None:
    """Return what events say about an order's owner; None if the order was made without authentication.

    A service that knows both arguments recognizes the owner. The digest itself tells neither who the owner is
    nor that two orders have the same one: the random orderid acts as a salt.
    """
    return hashlib.sha256(f"{orderid} {sub}".encode()).hexdigest()[:_DIGEST_CHARACTERS] if sub else None


def may_read(orderid: str, digest: str | None) -> bool:
    """Whether the caller may read a record about the order: its owner, or an operator."""
    caller = callers.current()
    return caller.operator or (digest is not None and digest == owner_digest(orderid, caller.sub))
