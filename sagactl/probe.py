"""Whether an HTTP server on this machine answers yet."""

import asyncio
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


def _get(url: str) -> bool:
    try:
        with _opener.open(url, timeout=1):
            return True
    except (OSError, HTTPException):
        return False
