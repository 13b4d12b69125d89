"""Serves the application until a signal, and then drains."""

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
# Longer than the 600 seconds for which Google's load balancers keep a connection, so that they send no
# request into one that is being closed (https://cloud.google.com/load-balancing/docs/https#timeouts_and_retries).
KEEP_ALIVE_SECONDS = 620
MAX_HEADER_BYTES = 32 * 1024


class Server(uvicorn.Server):
    """uvicorn without its signal handlers, which close at once and end the process by the signal."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for listener in sockets or ():
            host, port, *_ = listener.getsockname()
            log.info("serving", host=host, port=port)


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket. Raises SettingsError if the address is not available."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family)
    except OSError as error:
        name = "PORT" if error.errno in (errno.EADDRINUSE, errno.EACCES) else "HOST"
        raise SettingsError(name, f"cannot be used: {error.strerror}") from error
    # asyncio sets it only on sockets it creates; without it an answer's second packet waits 40 ms.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


async def serve(
    app: ASGIApp,
    listener: socket.socket,
    on_stop: Callable[[], None],
    drain_delay_seconds: float,
    on_end: Callable[[], None],
) -> None:
    """Serve until SIGTERM or SIGINT; then call `on_stop`, continue for the delay, and finish open requests.

    `on_end` is called after the delay, to end those that would take long.
    """
    server = Server(_config(app))
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    serving = asyncio.create_task(server.serve([listener]))
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
