"""The lines `up` prints for a first try: the walk from a cart to an approved order, with curl."""

import json
import uuid
from collections.abc import Mapping


def fresh_id(prefix: str) -> str:
    """An id nobody has used."""
    return f"{prefix}-{uuid.uuid4().hex[:8]}"


def curl_lines(gateway: str, cartid: str, token_command: str = "") -> list[str]:
    """Commands for a POSIX shell, each on a line of its own, that work pasted one by one or all at once.

    `token_command`: prints a token, where one is needed.
    """
    cart = {"cartid": cartid}
    if token_command:
        gateway = f'-H "authorization: Bearer $TOKEN" {gateway}'
    return [
        *([f"TOKEN=$({token_command})"] if token_command else []),
        _curl(gateway, "create_cart", cart),
        _curl(gateway, "add_item", {**cart, "itemid": "blue", "count": 3}),
        _curl(gateway, "add_item", {**cart, "itemid": "red", "count": 2}),
        _curl(gateway, "close_cart", cart),
        f'ticket=$({_curl(gateway, "checkout", cart)}); echo "$ticket"',
        """orderid=$(echo "$ticket" | sed 's/.*"orderid": *"\\([^"]*\\)".*/\\1/')""",
        f"sleep 1; {_post(gateway, 'get_order_ticket')} " + r'-d "{\"orderid\":\"$orderid\"}"',
    ]


def _curl(gateway: str, method: str, body: Mapping[str, object]) -> str:
    return f"{_post(gateway, method)} -d '{json.dumps(body, separators=(',', ':'))}'"


def _post(gateway: str, method: str) -> str:
    return rf"curl -sS -w '\n' {gateway}/purchase/api/{method}"
