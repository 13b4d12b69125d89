"""Serves the application until a signal, and then drains."""

import asyncio
import errno
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import structlog
import uvicorn
from starlette.types import ASGIApp

from sagakit.descriptors import connections_within
from sagakit.settings import SettingsError
from services.gateway.connections import LOG_INTERVAL_SECONDS, Connections, GatewayProtocol
from services.gateway.settings import RequestLimits

log = structlog.get_logger()

REQUESTS_END_SECONDS = 10
# Longer than the 600 seconds for which Google's load balancers keep a connection, so that they send no
# request into one that is being closed (https://cloud.google.com/load-balancing/docs/https#timeouts_and_retries).
KEEP_ALIVE_SECONDS = 620
ACCEPT_BATCH = 32
"""Connections accepted at once; asyncio accepts them before any of them is known to the protocol."""
BACKLOG = 2_048
"""Connections that the kernel holds until they are accepted."""


class Server(uvicorn.Server):
    """uvicorn without its signal handlers, which close at once and end the process by the signal."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for listener in sockets or ():
            listener.listen(BACKLOG)
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
    limits: RequestLimits,
) -> None:
    """Serve until SIGTERM or SIGINT; then call `on_stop`, continue for the delay, and finish open requests.

    `on_end` is called after the delay, to end those that would take long.
    """
    server = Server(_config(app, _protocol(limits)))
    asyncio.get_running_loop().set_exception_handler(AcceptErrors())
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


class AcceptErrors:
    """Logs that no connection can be accepted once in a while: asyncio reports each of many attempts."""

    def __init__(self) -> None:
        self._logged_at = -LOG_INTERVAL_SECONDS

    def __call__(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if not isinstance(error, OSError) or error.errno not in {errno.EMFILE, errno.ENFILE}:
            loop.default_exception_handler(context)
        elif loop.time() - self._logged_at >= LOG_INTERVAL_SECONDS:
            self._logged_at = loop.time()
            log.error("out of file descriptors", error=error.strerror)


def _protocol(limits: RequestLimits) -> Callable[..., GatewayProtocol]:
    connections = Connections(connections_within(limits.max_connections))
    return partial(GatewayProtocol, connections=connections, arrival_seconds=limits.request_seconds)


def _config(app: ASGIApp, protocol: Callable[..., GatewayProtocol]) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        lifespan="on",
        http=protocol,  # type: ignore[arg-type] # called like a class
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=REQUESTS_END_SECONDS,
        backlog=ACCEPT_BATCH,
    )
