"""Whether a server on this machine answers yet."""

import asyncio
import socket
import time
import urllib.request
from http.client import HTTPException

# Whatever proxy the environment names, it is not for this machine's own ports.
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

_PAUSE_SECONDS = 0.05


async def answers(url: str) -> bool:
    """Whether a GET is answered with success, within a second."""
    return await asyncio.to_thread(_get, url)


async def wait_until_answers(url: str, deadline_seconds: float) -> None:
    """Raises TimeoutError after the deadline."""
    end = time.monotonic() + deadline_seconds
    while not await answers(url):
        if time.monotonic() > end:
            raise TimeoutError(f"{url} did not answer within {deadline_seconds:g} s")
        await asyncio.sleep(_PAUSE_SECONDS)


async def wait_until_listens(host: str, port: int, deadline_seconds: float) -> None:
    """Return once a connection is taken there. Raises TimeoutError after the deadline."""
    end = time.monotonic() + deadline_seconds
    while not await asyncio.to_thread(_listens, host, port):
        if time.monotonic() > end:
            raise TimeoutError(f"{host}:{port} took no connection within {deadline_seconds:g} s")
        await asyncio.sleep(_PAUSE_SECONDS)


def _listens(host: str, port: int) -> bool:
    try:
        with socket.create_connection((host, port), timeout=1):
            return True
    except OSError:
        return False


def _get(url: str) -> bool:
    try:
        with _opener.open(url, timeout=1):
            return True
    except (OSError, HTTPException):
        return False
