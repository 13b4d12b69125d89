"""The requests from a cart to an approved order, as shell commands to try."""

import json
import uuid
from collections.abc import Mapping, Sequence
from urllib.request import getproxies_environment

from sagakit.ctl.project import Running


def ready_lines(running: Running) -> Sequence[str]:
    """Return what `sagactl up` prints once the suite is ready."""
    examples = curl_examples(running.gateway, unique_id("cart"), running.token_command)
    return [
        "Try it, from a cart to an approved order (in another terminal):",
        "",
        *(f"  {line}" for line in examples),
        "",
        f"In a browser: {running.gateway}/ui    Every request with an example: {running.gateway}/docs",
    ]


def unique_id(prefix: str) -> str:
    """Return a new random id with that prefix."""
    return f"{prefix}-{uuid.uuid4().hex[:8]}"


def curl_examples(gateway: str, cartid: str, token_command: str = "") -> list[str]:
    """Return shell commands from a cart to an approved order, to be pasted one by one or all at once.

    `token_command`: prints a bearer token, if one is required.
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
    # A proxy that the shell names for outgoing requests does not lead to this machine.
    direct = "--noproxy '*' " if {"http", "all"} & getproxies_environment().keys() else ""
    return rf"curl -sS {direct}-w '\n' {gateway}/purchase/api/{method}"
