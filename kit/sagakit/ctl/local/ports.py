"""TCP ports of the loopback interface: free ones, and whether a server responds at one."""

import asyncio
import errno
import os
import random
import socket
import time
import urllib.request
from collections.abc import Callable
from contextlib import ExitStack, suppress
from http.client import HTTPException

from sagakit.ctl.errors import CommandError

LOOPBACK = "127.0.0.1"

# Below the ranges from which Linux and macOS take the ports of outgoing connections: a restarted service
# must find its port free.
_MIN_PORT, _MAX_PORT = 20_000, 32_000
_POLL_INTERVAL_SECONDS = 0.05

# Proxies named by the environment are not for this machine's own ports.
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def free_ports(count: int, avoid: int = 0) -> list[int]:
    """Return `count` distinct free ports, excluding `avoid`."""
    with ExitStack() as stack:
        ports: list[int] = []
        while len(ports) < count:
            port = random.randint(_MIN_PORT, _MAX_PORT)
            if port == avoid:
                continue
            candidate = stack.enter_context(socket.socket())
            try:
                candidate.bind((LOOPBACK, port))
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise
                continue
            ports.append(port)
        return ports


def check_free(port: int) -> None:
    """Raise CommandError unless a server could listen on `port` now."""
    with socket.socket() as probe:
        # SO_REUSEADDR, as servers set it: lingering connections of an earlier run do not block the port.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError as error:
            in_use = error.errno == errno.EADDRINUSE
            why = "is in use by another process" if in_use else os.strerror(error.errno or 0)
            raise CommandError(f"port {port} {why}; PORT=… chooses another") from error


async def wait_until_responds(url: str, timeout_seconds: float) -> None:
    """Return once a GET succeeds. Raises TimeoutError."""
    await _wait_until(lambda: _get(url), f"{url} did not respond", timeout_seconds)


async def wait_until_listens(host: str, port: int, timeout_seconds: float) -> None:
    """Return once a connection is accepted. Raises TimeoutError."""
    await _wait_until(lambda: _connect(host, port), f"{host}:{port} accepted no connection", timeout_seconds)


async def _wait_until(condition: Callable[[], bool], failure: str, timeout_seconds: float) -> None:
    deadline = time.monotonic() + timeout_seconds
    while not await asyncio.to_thread(condition):
        if time.monotonic() > deadline:
            raise TimeoutError(f"{failure} within {timeout_seconds:g} s")
        await asyncio.sleep(_POLL_INTERVAL_SECONDS)


def _connect(host: str, port: int) -> bool:
    with suppress(OSError), socket.create_connection((host, port), timeout=1):
        return True
    return False


def _get(url: str) -> bool:
    with suppress(OSError, HTTPException), _opener.open(url, timeout=1):
        return True
    return False
