"""Serves the application until told to stop, and then lets what is under way finish."""

import asyncio
import errno
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import structlog
import uvicorn
from starlette.types import ASGIApp

from sagakit.settings import SettingsError

log = structlog.get_logger()

REQUESTS_END_SECONDS = 10
# Longer than the 600 seconds for which Google's load balancers keep a connection, lest they send a
# request into one that closes (https://cloud.google.com/load-balancing/docs/https#timeouts_and_retries).
KEEP_ALIVE_SECONDS = 620
MAX_HEADER_BYTES = 32 * 1024


class Server(uvicorn.Server):
    """uvicorn, without its own way with signals: that closes at once, and dies by the signal in the end."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for at in sockets or ():
            log.info("serving", host=at.getsockname()[0], port=at.getsockname()[1])


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens there. Raises SettingsError where the address cannot be had."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        at = socket.create_server((host, port), family=family)
    except OSError as error:
        name = "PORT" if error.errno in (errno.EADDRINUSE, errno.EACCES) else "HOST"
        raise SettingsError(name, f"cannot be used: {error.strerror}") from error
    # asyncio sets it on sockets it makes itself; without it an answer's second packet waits 40 ms.
    at.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return at


async def serve(
    app: ASGIApp,
    at: socket.socket,
    on_stop: Callable[[], None],
    drain_delay_seconds: float,
    on_end: Callable[[], None],
) -> None:
    """Serve until SIGTERM or SIGINT; then `on_stop`, go on for the delay, finish what is under way.

    `on_end` is called after the delay, for what would be under way for long.
    """
    server = Server(_config(app))
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    serving = asyncio.create_task(server.serve([at]))
    stopped = asyncio.create_task(stop.wait())
    await asyncio.wait([serving, stopped], return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()
    on_stop()
    await asyncio.sleep(0 if serving.done() else drain_delay_seconds)
    server.should_exit = True
    on_end()
    await serving
    log.info("stopped")


def _config(app: ASGIApp) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        lifespan="on",
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=REQUESTS_END_SECONDS,
        h11_max_incomplete_event_size=MAX_HEADER_BYTES,
    )
